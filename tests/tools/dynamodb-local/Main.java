// How do tests get DynamoDB Streams whose shards really roll over? By DynamoDB Local, with a button for the rollover.
//
// Serves the DynamoDB and Streams HTTP API and a control API, both on 127.0.0.1 and on free ports; prints one line when ready:
//     port=N control=M
// Control: POST /rollover seals every open shard and opens a child for each; POST /age?hours=N makes every stream record, shard and
// iterator N hours older (so they expire, roll over and are trimmed). The process ends when its stdin closes, so a killed test leaves
// no server behind. One in-memory database for all access keys and regions. Only AWS's public API is used. What it does and does not do
// like AWS: ../README.md.

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import org.eclipse.jetty.server.Server;
import org.eclipse.jetty.server.ServerConnector;
import software.amazon.awssdk.services.dynamodb.DynamoDbClient;
import software.amazon.awssdk.services.dynamodb.model.*;
import software.amazon.awssdk.services.dynamodb.model.Record; // not java.lang.Record
import software.amazon.awssdk.services.dynamodb.streams.DynamoDbStreamsClient;
import software.amazon.dynamodb.services.local.server.DynamoDBRequestHandler;
import software.amazon.dynamodb.services.local.server.LocalDynamoDBServerHandler;
import software.amazon.dynamodb.services.local.shared.access.AmazonDynamoDBLocal;
import software.amazon.dynamodb.services.local.shared.access.LocalDBClient;
import software.amazon.dynamodb.services.local.shared.access.sqlite.SQLiteDBAccess;
import software.amazon.dynamodb.services.local.shared.jobs.JobsRegister;

public final class Main {
    /** Whether anything has been made older, and may so have been trimmed. */
    private static volatile boolean aged;

    public static void main(String[] args) throws Exception {
        if (!"0".equals(System.getenv("DDB_LOCAL_TELEMETRY"))) {
            System.err.println("set DDB_LOCAL_TELEMETRY=0 (run.sh does): DynamoDB Local must not send telemetry from tests");
            System.exit(2);
        }
        InetSocketAddress anyPort = new InetSocketAddress(InetAddress.getByName("127.0.0.1"), 0);
        // Not DynamoDBEmbedded.create(): its clients throw the SDK's exceptions, of which the HTTP server makes a nameless 500.
        AmazonDynamoDBLocal database = new LocalDBClient(new SQLiteDBAccess(), new JobsRegister(Executors.newFixedThreadPool(4), false));

        Server http = new Server(anyPort); // not AWS's DynamoDBProxyServer: that one listens on every interface
        http.setHandler(new LocalDynamoDBServerHandler(new Embedded(database), null));
        http.start();

        HttpServer control = HttpServer.create(anyPort, 0);
        control.createContext("/rollover", exchange -> answer(exchange, database::triggerShardRollovers));
        control.createContext("/age", exchange -> answer(exchange, () -> {
            aged = true;
            String hours = exchange.getRequestURI().getQuery().replaceFirst("^hours=", "");
            database.dilateEventTimes(TimeUnit.HOURS.toMillis(Long.parseLong(hours)));
        }));
        control.start();

        int port = ((ServerConnector) http.getConnectors()[0]).getLocalPort();
        System.out.println("port=" + port + " control=" + control.getAddress().getPort());
        System.in.transferTo(OutputStream.nullOutputStream()); // returns when the parent is gone
        Runtime.getRuntime().halt(0);
    }

    /** Runs one control action and reports how it went. */
    private static void answer(HttpExchange exchange, Runnable action) throws IOException {
        int status = 200;
        String text = "done\n";
        try {
            if (!exchange.getRequestMethod().equals("POST")) {
                throw new IllegalArgumentException("use POST");
            }
            action.run();
        } catch (RuntimeException e) {
            status = 400;
            text = e + "\n";
        }
        byte[] body = text.getBytes(StandardCharsets.UTF_8);
        exchange.sendResponseHeaders(status, body.length);
        exchange.getResponseBody().write(body);
        exchange.close();
    }

    /** Sends every HTTP operation to the embedded database: the only public way to let the server and the rollover button share one. */
    private static final class Embedded extends DynamoDBRequestHandler {
        private final AmazonDynamoDBLocal database;
        private final DynamoDbClient items;
        private final DynamoDbStreamsClient streams;

        /** Iterators at a shard's beginning, through which no record has come yet, with the requests that made them. The newest suffice. */
        private final Map<String, GetShardIteratorRequest> untouched = Collections.synchronizedMap(new LinkedHashMap<>() {
            @Override
            protected boolean removeEldestEntry(Map.Entry<String, GetShardIteratorRequest> eldest) {
                return size() > 10_000;
            }
        });

        Embedded(AmazonDynamoDBLocal database) {
            super(0);
            this.database = database;
            this.items = database.dynamoDbClient();
            this.streams = database.dynamoDbStreamsClient();
        }

        @Override
        public void shutdown() {
            database.shutdown();
        }

        @Override
        public CreateTableResponse createTable(String key, String region, CreateTableRequest request) {
            return items.createTable(request);
        }

        @Override
        public DeleteTableResponse deleteTable(String key, String region, DeleteTableRequest request) {
            return items.deleteTable(request);
        }

        @Override
        public DescribeTableResponse describeTable(String key, String region, DescribeTableRequest request) {
            return items.describeTable(request);
        }

        @Override
        public DescribeLimitsResponse describeLimits(String key, String region, DescribeLimitsRequest request) {
            return items.describeLimits(request);
        }

        @Override
        public ListTablesResponse listTables(String key, String region, ListTablesRequest request) {
            return items.listTables(request);
        }

        @Override
        public UpdateTableResponse updateTable(String key, String region, UpdateTableRequest request) {
            return items.updateTable(request);
        }

        @Override
        public BatchGetItemResponse batchGetItem(String key, String region, BatchGetItemRequest request) {
            return items.batchGetItem(request);
        }

        @Override
        public BatchWriteItemResponse batchWriteItem(String key, String region, BatchWriteItemRequest request) {
            return items.batchWriteItem(request);
        }

        @Override
        public DeleteItemResponse deleteItem(String key, String region, DeleteItemRequest request) {
            return items.deleteItem(request);
        }

        @Override
        public GetItemResponse getItem(String key, String region, GetItemRequest request) {
            return items.getItem(request);
        }

        @Override
        public PutItemResponse putItem(String key, String region, PutItemRequest request) {
            return items.putItem(request);
        }

        @Override
        public QueryResponse query(String key, String region, QueryRequest request) {
            return items.query(request);
        }

        @Override
        public ScanResponse scan(String key, String region, ScanRequest request) {
            return items.scan(request);
        }

        @Override
        public TransactGetItemsResponse transactGetItems(String key, String region, TransactGetItemsRequest request) {
            return items.transactGetItems(request);
        }

        @Override
        public TransactWriteItemsResponse transactWriteItems(String key, String region, TransactWriteItemsRequest request) {
            return items.transactWriteItems(request);
        }

        @Override
        public UpdateItemResponse updateItem(String key, String region, UpdateItemRequest request) {
            return items.updateItem(request);
        }

        @Override
        public DescribeTimeToLiveResponse describeTimeToLive(String key, String region, DescribeTimeToLiveRequest request) {
            return items.describeTimeToLive(request);
        }

        @Override
        public UpdateTimeToLiveResponse updateTimeToLive(String key, String region, UpdateTimeToLiveRequest request) {
            return items.updateTimeToLive(request);
        }

        @Override
        public ExecuteStatementResponse executeStatement(String key, String region, ExecuteStatementRequest request) {
            return items.executeStatement(request);
        }

        @Override
        public BatchExecuteStatementResponse batchExecuteStatement(String key, String region, BatchExecuteStatementRequest request) {
            return items.batchExecuteStatement(request);
        }

        @Override
        public ExecuteTransactionResponse executeTransaction(String key, String region, ExecuteTransactionRequest request) {
            return items.executeTransaction(request);
        }

        @Override
        public ListTagsOfResourceResponse listTagsOfResource(String key, String region, ListTagsOfResourceRequest request) {
            return items.listTagsOfResource(request);
        }

        @Override
        public TagResourceResponse tagResource(String key, String region, TagResourceRequest request) {
            return items.tagResource(request);
        }

        @Override
        public UntagResourceResponse untagResource(String key, String region, UntagResourceRequest request) {
            return items.untagResource(request);
        }

        @Override
        public DescribeStreamResponse describeStream(String key, String region, DescribeStreamRequest request) {
            return streams.describeStream(request);
        }

        @Override
        public ListStreamsResponse listStreams(String key, String region, ListStreamsRequest request) {
            return streams.listStreams(request);
        }

        @Override
        public GetShardIteratorResponse getShardIterator(String key, String region, GetShardIteratorRequest request) {
            GetShardIteratorResponse answer = streams.getShardIterator(request);
            if (request.shardIteratorType() == ShardIteratorType.TRIM_HORIZON) {
                untouched.put(answer.shardIterator(), request);
            }
            return answer;
        }

        @Override
        public GetRecordsResponse getRecords(String key, String region, GetRecordsRequest request) {
            GetShardIteratorRequest beginning = untouched.get(request.shardIterator());
            GetRecordsResponse page;
            try {
                page = streams.getRecords(request);
            } catch (TrimmedDataAccessException e) {
                if (beginning == null || aged) {
                    throw e;
                }
                // Nothing is old enough to be trimmed: the shard was empty when the iterator was made, and its first record came just then.
                String fresh = streams.getShardIterator(beginning).shardIterator();
                page = streams.getRecords(request.toBuilder().shardIterator(fresh).build());
            }
            if (beginning != null && page.records().isEmpty() && page.nextShardIterator() != null) {
                untouched.put(page.nextShardIterator(), beginning);
            }
            return page.toBuilder().records(page.records().stream().map(Repair::record).toList()).build();
        }
    }

    /** DynamoDB Local 3.3.1 serves two things that no AWS stream contains; here they become what AWS sends. */
    private static final class Repair {
        /** A deletion by TTL has an event name unknown to the SDK, and lacks the service's identity. */
        static Record record(Record record) {
            StreamRecord change = record.dynamodb();
            StreamRecord.Builder images = change.toBuilder();
            if (change.hasNewImage()) {
                images.newImage(item(change.newImage()));
            }
            if (change.hasOldImage()) {
                images.oldImage(item(change.oldImage()));
            }
            Record.Builder repaired = record.toBuilder().dynamodb(images.build());
            if (record.eventName() == OperationType.UNKNOWN_TO_SDK_VERSION) {
                repaired.eventName(OperationType.REMOVE);
                repaired.userIdentity(identity -> identity.type("Service").principalId("dynamodb.amazonaws.com"));
            }
            return repaired.build();
        }

        static Map<String, AttributeValue> item(Map<String, AttributeValue> item) {
            Map<String, AttributeValue> repaired = new LinkedHashMap<>();
            item.forEach((name, value) -> repaired.put(name, value(value)));
            return repaired;
        }

        /** An empty map, at any depth, has lost its type: {} instead of {"M":{}}. */
        static AttributeValue value(AttributeValue value) {
            return switch (value.type()) {
                case UNKNOWN_TO_SDK_VERSION -> AttributeValue.fromM(Map.of());
                case M -> AttributeValue.fromM(item(value.m()));
                case L -> AttributeValue.fromL(value.l().stream().map(Repair::value).toList());
                default -> value;
            };
        }
    }
}
