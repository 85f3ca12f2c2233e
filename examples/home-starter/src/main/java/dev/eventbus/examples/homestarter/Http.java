package dev.eventbus.examples.homestarter;

import static java.nio.charset.StandardCharsets.UTF_8;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.sun.net.httpserver.Headers;
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.io.InputStream;
import java.net.InetSocketAddress;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The JDK's HTTP server with just enough around it: a route is a method and a path, in which {@code {name}} stands for one part. It knows
 * no users, and listens on this machine only; web pages in a browser on this machine are kept out.
 */
final class Http implements AutoCloseable {

    /** What a POST must have. A page of another site may send a POST unasked, but none with a header of its own. */
    static final String REQUESTED_BY = "X-Requested-By";

    private static final Logger LOG = LoggerFactory.getLogger(Http.class);
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final int THREADS = 8;

    /** Answers with text, or with an object that becomes JSON. */
    interface Route {
        Object answer(Request request) throws Exception;
    }

    /** What was asked for: the parts of the path by name, and the body. */
    record Request(Map<String, String> path, String body) {

        String part(String name) {
            return Objects.requireNonNull(path.get(name), name);
        }

        <T> T json(Class<T> type) throws JsonProcessingException {
            return JSON.readValue(body, type);
        }
    }

    private record Registered(String method, String path, Route route) {

        /** The parts by name; null if it is another path. */
        @Nullable
        Map<String, String> match(String askedMethod, String askedPath) {
            String[] wanted = path.split("/");
            String[] asked = askedPath.split("/");
            if (!method.equals(askedMethod) || wanted.length != asked.length) {
                return null;
            }
            Map<String, String> parts = new HashMap<>();
            for (int i = 0; i < wanted.length; i++) {
                if (wanted[i].startsWith("{")) {
                    parts.put(wanted[i].substring(1, wanted[i].length() - 1), asked[i]);
                } else if (!wanted[i].equals(asked[i])) {
                    return null;
                }
            }
            return parts;
        }
    }

    private final HttpServer server;
    private final ExecutorService threads = Executors.newFixedThreadPool(THREADS);
    private final List<Registered> routes = new ArrayList<>();

    private Http(HttpServer server) {
        this.server = server;
    }

    static Http on(int port) throws IOException {
        return new Http(HttpServer.create(new InetSocketAddress("127.0.0.1", port), 0));
    }

    Http route(String method, String path, Route route) {
        routes.add(new Registered(method, path, route));
        return this;
    }

    Http start() {
        server.createContext("/", this::handle);
        server.setExecutor(threads);
        server.start();
        return this;
    }

    String url() {
        return "http://localhost:" + server.getAddress().getPort();
    }

    private void handle(HttpExchange exchange) throws IOException {
        try (exchange;
                InputStream body = exchange.getRequestBody()) {
            String text = new String(body.readAllBytes(), UTF_8);
            String refusal = refusal(exchange.getRequestMethod(), exchange.getRequestHeaders());
            if (refusal != null) {
                send(exchange, 403, Map.of("error", refusal));
                return;
            }
            for (Registered registered : routes) {
                Map<String, String> parts = registered.match(
                        exchange.getRequestMethod(), exchange.getRequestURI().getPath());
                if (parts != null) {
                    answer(exchange, registered.route(), new Request(parts, text));
                    return;
                }
            }
            send(exchange, 404, Map.of("error", "no such path"));
        }
    }

    /** Why it is not done whatever it is; null if it may be. */
    private @Nullable String refusal(String method, Headers headers) {
        int port = server.getAddress().getPort();
        String host = headers.getFirst("Host");
        if (host == null || !Set.of("localhost:" + port, "127.0.0.1:" + port).contains(host)) {
            return "the host is not this one"; // somebody's name that leads here makes his page one of the same site
        }
        if (!method.equals("GET") && headers.containsKey("Origin")) {
            return "a web page may not change anything here";
        }
        return method.equals("POST") && !headers.containsKey(REQUESTED_BY)
                ? "the header %s is missing".formatted(REQUESTED_BY)
                : null;
    }

    private static void answer(HttpExchange exchange, Route route, Request request) throws IOException {
        int status = 200;
        Object answer;
        try {
            answer = route.answer(request);
        } catch (IllegalArgumentException | JsonProcessingException e) {
            status = 400;
            answer = Map.of("error", String.valueOf(e.getMessage()));
        } catch (Exception e) {
            LOG.error("a {} failed", exchange.getRequestMethod(), e);
            status = 500;
            answer = Map.of("error", "see the log");
        }
        send(exchange, status, answer);
    }

    private static void send(HttpExchange exchange, int status, Object answer) throws IOException {
        boolean isText = answer instanceof String;
        byte[] bytes =
                isText ? ((String) answer).getBytes(UTF_8) : (JSON.writeValueAsString(answer) + "\n").getBytes(UTF_8);
        exchange.getResponseHeaders().set("Content-Type", isText ? "text/plain; charset=utf-8" : "application/json");
        exchange.sendResponseHeaders(status, bytes.length);
        exchange.getResponseBody().write(bytes);
    }

    @Override
    public void close() {
        server.stop(1);
        threads.shutdown();
    }
}
