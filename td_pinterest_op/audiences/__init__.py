"""Actions on audiences and customer lists, and the sending of records."""
