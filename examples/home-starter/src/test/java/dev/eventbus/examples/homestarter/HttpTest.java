package dev.eventbus.examples.homestarter;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.net.Socket;
import java.net.URI;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** What a web page in a browser on the operator's machine could send, byte by byte. */
class HttpTest {

    private final List<String> done = new ArrayList<>();
    private Http http;
    private int port;

    @BeforeEach
    void start() throws IOException {
        http = Http.on(0)
                .route("GET", "/things/{thing}", request -> "read")
                .route("PUT", "/things/{thing}", request -> done("put"))
                .route("POST", "/things/{thing}", request -> done("post"))
                .start();
        port = URI.create(http.url()).getPort();
    }

    @AfterEach
    void stop() {
        http.close();
    }

    private synchronized String done(String what) {
        done.add(what);
        return what;
    }

    private synchronized List<String> done() {
        return List.copyOf(done);
    }

    @Test
    void a_post_that_a_page_of_another_site_can_send_unasked_is_refused() throws IOException {
        assertThat(ask("POST", "Host: localhost:" + port, "Content-Type: text/plain"))
                .startsWith("HTTP/1.1 403")
                .contains("X-Requested-By");
        assertThat(ask("POST", "Host: localhost:" + port, "X-Requested-By: page", "Origin: https://example.org"))
                .startsWith("HTTP/1.1 403");
        assertThat(ask("PUT", "Host: localhost:" + port, "Origin: null")).startsWith("HTTP/1.1 403");
        assertThat(done()).isEmpty();
    }

    @Test
    void a_name_of_somebody_else_that_leads_here_is_refused() throws IOException {
        assertThat(ask("GET", "Host: example.org:" + port)).startsWith("HTTP/1.1 403");
        assertThat(ask("POST", "Host: example.org", "X-Requested-By: page")).startsWith("HTTP/1.1 403");
        assertThat(done()).isEmpty();
    }

    @Test
    void who_is_no_page_reads_and_writes() throws IOException {
        assertThat(ask("GET", "Host: 127.0.0.1:" + port))
                .startsWith("HTTP/1.1 200")
                .contains("read");
        assertThat(ask("PUT", "Host: localhost:" + port)).startsWith("HTTP/1.1 200");
        assertThat(ask("POST", "Host: localhost:" + port, "X-Requested-By: me")).startsWith("HTTP/1.1 200");
        assertThat(done()).containsExactly("put", "post");
    }

    private String ask(String method, String... headers) throws IOException {
        try (Socket socket = new Socket("127.0.0.1", port)) {
            socket.setSoTimeout(10_000);
            String request = method + " /things/1 HTTP/1.1\r\n" + String.join("\r\n", headers)
                    + "\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            socket.getOutputStream().write(request.getBytes(UTF_8));
            return new String(socket.getInputStream().readAllBytes(), UTF_8);
        }
    }
}
