package dev.eventbus.it;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/** Keys and certificates, made by keytool in a folder. */
final class Certificates {

    static final String PASSWORD = "changeit";

    /** A certificate's option: it is for brokers of this machine. */
    static final String HERE = "SAN=ip:127.0.0.1,dns:localhost";

    private final Path folder;

    Certificates(Path folder) {
        this.folder = folder;
    }

    /** A key and a certificate signed with it. */
    Path selfSigned(String name, String... more) throws Exception {
        Path store = folder.resolve(name + ".p12");
        List<String> options = new ArrayList<>(List.of("-alias", name, "-keyalg", "EC", "-dname", "CN=" + name));
        options.addAll(List.of(more));
        keytool("-genkeypair", store, options);
        return store;
    }

    /** A key and a certificate that an authority has signed, with the authority's own. */
    Path signed(Path authority, String name, String... more) throws Exception {
        Path store = selfSigned(name);
        String request = folder.resolve(name + ".csr").toString();
        String certificate = folder.resolve(name + ".crt").toString();
        String authoritys = folder.resolve("authority.crt").toString();
        keytool("-certreq", store, List.of("-alias", name, "-file", request));
        List<String> options =
                new ArrayList<>(List.of("-alias", "authority", "-infile", request, "-outfile", certificate));
        options.addAll(List.of(more));
        keytool("-gencert", authority, options);
        keytool("-exportcert", authority, List.of("-alias", "authority", "-file", authoritys));
        keytool("-importcert", store, List.of("-noprompt", "-alias", "authority", "-file", authoritys));
        keytool("-importcert", store, List.of("-noprompt", "-alias", name, "-file", certificate));
        return store;
    }

    private static void keytool(String verb, Path store, List<String> options) throws Exception {
        List<String> command = new ArrayList<>();
        command.add(Path.of(System.getProperty("java.home"), "bin", "keytool").toString());
        command.addAll(List.of("-J-XX:+UseSerialGC", "-J-XX:TieredStopAtLevel=1")); // it lives for half a second
        command.addAll(List.of(verb, "-keystore", store.toString(), "-storetype", "PKCS12", "-storepass", PASSWORD));
        command.addAll(options);
        Process keytool = new ProcessBuilder(command).redirectErrorStream(true).start();
        String said = new String(keytool.getInputStream().readAllBytes(), UTF_8);
        assertThat(keytool.waitFor()).as(said).isZero();
    }

    /** Settings of a client that trusts these certificates. */
    static Map<String, Object> trust(Path trusted) {
        return Map.of(
                "security.protocol",
                "SSL",
                "ssl.truststore.location",
                trusted.toString(),
                "ssl.truststore.password",
                PASSWORD,
                "ssl.truststore.type",
                "PKCS12");
    }
}
