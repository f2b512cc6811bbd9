import com.fasterxml.jackson.annotation.JsonProperty;
import io.airlift.slice.Slice;
import io.airlift.slice.Slices;
import io.trino.spi.HostAddress;
import io.trino.spi.Page;
import io.trino.spi.Plugin;
import io.trino.spi.block.Block;
import io.trino.spi.connector.*;
import io.trino.spi.function.ScalarFunction;
import io.trino.spi.function.SqlType;
import io.trino.spi.session.PropertyMetadata;
import io.trino.spi.statistics.ComputedStatistics;
import io.trino.spi.transaction.IsolationLevel;
import io.trino.spi.type.ArrayType;
import io.trino.spi.type.VarcharType;
import io.trino.testing.DistributedQueryRunner;
import io.trino.testing.TestingSession;
import java.io.IOException;
import java.io.PrintStream;
import java.util.ArrayList;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicLong;
import java.util.stream.IntStream;

/**
 * Trino's engine with tables in memory, on the port that is given. What is written is there when its statement ends.
 * Of Treasure Data's tables it has the properties for buckets, which it takes and does not use. It has no DELETE.
 */
public class Server implements Plugin {
    public record Handle(@JsonProperty("schema") String schema, @JsonProperty("table") String table)
            implements ConnectorTableHandle, ConnectorInsertTableHandle, ConnectorOutputTableHandle {
        static Handle of(SchemaTableName name) { return new Handle(name.getSchemaName(), name.getTableName()); }
        SchemaTableName name() { return new SchemaTableName(schema, table); }
    }
    public record Column(@JsonProperty("place") int place) implements ColumnHandle {}
    public record Part(@JsonProperty("number") int number) implements ConnectorSplit {
        @Override public boolean isRemotelyAccessible() { return true; }
        @Override public List<HostAddress> getAddresses() { return List.of(); }
        @Override public Object getInfo() { return Map.of(); }
        @Override public long getRetainedSizeInBytes() { return 16; }
    }
    public enum Transaction implements ConnectorTransactionHandle { ONLY }

    static final class Table {
        final List<ColumnMetadata> columns;
        volatile List<Page> pages = List.of();
        Table(List<ColumnMetadata> columns) {
            this.columns = columns.stream().map(column -> new ColumnMetadata(column.getName(), column.getType())).toList();
        }
        synchronized void add(Collection<Slice> sinks) {
            List<Page> all = new ArrayList<>(pages);
            sinks.forEach(sink -> all.addAll(WRITTEN.remove(sink.getLong(0))));
            pages = List.copyOf(all);
        }
    }

    static final int PARTS = 4;
    static final Map<SchemaTableName, Table> TABLES = new ConcurrentHashMap<>();
    static final Map<Long, List<Page>> WRITTEN = new ConcurrentHashMap<>();
    static final AtomicLong SINKS = new AtomicLong();

    static class Metadata implements ConnectorMetadata {
        static Table table(ConnectorTableHandle handle) { return TABLES.get(((Handle) handle).name()); }
        @Override public List<String> listSchemaNames(ConnectorSession session) { return List.of("default"); }
        @Override public ConnectorTableHandle getTableHandle(ConnectorSession session, SchemaTableName name) {
            return TABLES.containsKey(name) ? Handle.of(name) : null;
        }
        @Override public ConnectorTableMetadata getTableMetadata(ConnectorSession session, ConnectorTableHandle handle) {
            return new ConnectorTableMetadata(((Handle) handle).name(), table(handle).columns);
        }
        @Override public Map<String, ColumnHandle> getColumnHandles(ConnectorSession session, ConnectorTableHandle handle) {
            Map<String, ColumnHandle> found = new LinkedHashMap<>();
            table(handle).columns.forEach(column -> found.put(column.getName(), new Column(found.size())));
            return found;
        }
        @Override public ColumnMetadata getColumnMetadata(ConnectorSession session, ConnectorTableHandle handle, ColumnHandle column) {
            return table(handle).columns.get(((Column) column).place());
        }
        @Override public void createTable(ConnectorSession session, ConnectorTableMetadata table, boolean ignores) {
            TABLES.put(table.getTable(), new Table(table.getColumns()));
        }
        @Override public ConnectorOutputTableHandle beginCreateTable(ConnectorSession session, ConnectorTableMetadata table, Optional<ConnectorTableLayout> layout, RetryMode mode) {
            TABLES.put(table.getTable(), new Table(table.getColumns()));
            return Handle.of(table.getTable());
        }
        @Override public Optional<ConnectorOutputMetadata> finishCreateTable(ConnectorSession session, ConnectorOutputTableHandle handle, Collection<Slice> sinks, Collection<ComputedStatistics> statistics) {
            table((Handle) handle).add(sinks);
            return Optional.empty();
        }
        @Override public ConnectorInsertTableHandle beginInsert(ConnectorSession session, ConnectorTableHandle handle, List<ColumnHandle> columns, RetryMode mode) {
            return (Handle) handle;
        }
        @Override public Optional<ConnectorOutputMetadata> finishInsert(ConnectorSession session, ConnectorInsertTableHandle handle, Collection<Slice> sinks, Collection<ComputedStatistics> statistics) {
            table((Handle) handle).add(sinks);
            return Optional.empty();
        }
        @Override public void dropTable(ConnectorSession session, ConnectorTableHandle handle) {
            TABLES.remove(((Handle) handle).name());
        }
    }

    static class Sink implements ConnectorPageSink {
        final List<Page> pages = new ArrayList<>();
        @Override public CompletableFuture<?> appendPage(Page page) {
            page.compact();
            pages.add(page.getLoadedPage());
            return NOT_BLOCKED;
        }
        @Override public CompletableFuture<Collection<Slice>> finish() {
            Slice sink = Slices.allocate(Long.BYTES);
            sink.setLong(0, SINKS.incrementAndGet());
            WRITTEN.put(sink.getLong(0), pages);
            return CompletableFuture.completedFuture(List.of(sink));
        }
        @Override public void abort() {}
    }

    static class Sinks implements ConnectorPageSinkProvider {
        @Override public ConnectorPageSink createPageSink(ConnectorTransactionHandle transaction, ConnectorSession session, ConnectorOutputTableHandle handle, ConnectorPageSinkId id) { return new Sink(); }
        @Override public ConnectorPageSink createPageSink(ConnectorTransactionHandle transaction, ConnectorSession session, ConnectorInsertTableHandle handle, ConnectorPageSinkId id) { return new Sink(); }
    }

    static class Sources implements ConnectorPageSourceProvider {
        @Override public ConnectorPageSource createPageSource(ConnectorTransactionHandle transaction, ConnectorSession session, ConnectorSplit split, ConnectorTableHandle handle, List<ColumnHandle> columns, DynamicFilter filter) {
            List<Page> pages = Metadata.table(handle).pages;
            return new FixedPageSource(IntStream.range(0, pages.size())
                .filter(number -> number % PARTS == ((Part) split).number())
                .mapToObj(number -> chosen(pages.get(number), columns)).toList());
        }
        static Page chosen(Page page, List<ColumnHandle> columns) {
            return new Page(page.getPositionCount(), columns.stream().map(column -> page.getBlock(((Column) column).place())).toArray(Block[]::new));
        }
    }

    static class Splits implements ConnectorSplitManager {
        @Override public ConnectorSplitSource getSplits(ConnectorTransactionHandle transaction, ConnectorSession session, ConnectorTableHandle handle, DynamicFilter filter, Constraint constraint) {
            return new FixedSplitSource(IntStream.range(0, PARTS).mapToObj(Part::new).toList());
        }
    }

    static class Memory implements Connector {
        @Override public ConnectorTransactionHandle beginTransaction(IsolationLevel level, boolean reads, boolean commits) { return Transaction.ONLY; }
        @Override public ConnectorMetadata getMetadata(ConnectorSession session, ConnectorTransactionHandle transaction) { return new Metadata(); }
        @Override public ConnectorSplitManager getSplitManager() { return new Splits(); }
        @Override public ConnectorPageSourceProvider getPageSourceProvider() { return new Sources(); }
        @Override public ConnectorPageSinkProvider getPageSinkProvider() { return new Sinks(); }
        @Override public List<PropertyMetadata<?>> getTableProperties() {
            return List.of(
                new PropertyMetadata<>("bucketed_on", "columns", new ArrayType(VarcharType.VARCHAR), List.class, null, false, value -> (List<?>) value, value -> value),
                PropertyMetadata.integerProperty("bucket_count", "buckets", null, false));
        }
    }

    /** `raw_varchar(varbinary)`: text of any bytes, as stored data may hold. */
    public static final class Functions {
        @ScalarFunction("raw_varchar") @SqlType("varchar")
        public static Slice rawVarchar(@SqlType("varbinary") Slice bytes) { return bytes; }
    }
    @Override public Set<Class<?>> getFunctions() { return Set.of(Functions.class); }

    @Override public Iterable<ConnectorFactory> getConnectorFactories() {
        return List.of(new ConnectorFactory() {
            @Override public String getName() { return "memory"; }
            @Override public Connector create(String catalog, Map<String, String> config, ConnectorContext context) { return new Memory(); }
        });
    }

    /** Whoever started this program holds its standard input open. */
    static void endWithParent() {
        try {
            while (System.in.read() >= 0) {}
        } catch (IOException broken) {
            // as good as closed
        }
        Runtime.getRuntime().halt(0);
    }

    public static void main(String[] arguments) throws Exception {
        PrintStream output = System.out; // the engine makes a log of System.out
        Thread ending = new Thread(Server::endWithParent);
        ending.setDaemon(true);
        ending.start();
        DistributedQueryRunner runner = DistributedQueryRunner
            .builder(TestingSession.testSessionBuilder().setCatalog("memory").setSchema("default").build())
            .setNodeCount(1)
            .setExtraProperties(Map.of(
                "http-server.http.port", arguments[0],
                "node-scheduler.include-coordinator", "true",
                "query.max-memory", arguments[1],
                "query.max-memory-per-node", arguments[1],
                "query.max-total-memory", arguments[1]))
            .build();
        runner.installPlugin(new Server());
        runner.createCatalog("memory", "memory");
        output.println("ready");
        Thread.sleep(Long.MAX_VALUE);
    }
}
