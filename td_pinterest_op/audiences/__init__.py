"""What an export does to audiences and customer lists."""
