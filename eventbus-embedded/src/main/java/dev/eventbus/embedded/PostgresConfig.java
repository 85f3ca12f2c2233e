package dev.eventbus.embedded;

import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Set;
import java.util.regex.Pattern;
import java.util.stream.Collectors;

/** What is appended to a fresh {@code postgresql.conf}. Pure. */
final class PostgresConfig {

    private static final Set<String> OURS =
            Set.of("port", "listen_addresses", "unix_socket_directories", "data_directory", "logging_collector");
    private static final Pattern NAME = Pattern.compile("[a-z_][a-z0-9_.]*");

    private PostgresConfig() {}

    /** Refuses a setting that the embedded server itself decides, and one that would break the file. */
    static void checkSettable(String name, String value) {
        if (!NAME.matcher(name).matches()) {
            throw new IllegalArgumentException("setting must be a name in lower case, was '" + name + "'");
        }
        if (OURS.contains(name)) {
            throw new IllegalArgumentException(
                    "setting must not be one that the embedded server decides itself, was " + name);
        }
        if (value.lines().count() > 1) {
            throw new IllegalArgumentException("value of " + name + " must be one line");
        }
    }

    static String text(int port, Map<String, String> settings) {
        Map<String, String> all = new LinkedHashMap<>();
        all.put("max_connections", "200");
        all.put("synchronous_commit", "on");
        all.put("fsync", "on");
        all.put("dynamic_shared_memory_type", "mmap"); // in the data folder, so a killed server leaves none behind
        all.put("log_line_prefix", "%m [%p] ");
        all.putAll(settings);
        all.put("listen_addresses", "127.0.0.1");
        all.put("port", Integer.toString(port));
        all.put("unix_socket_directories", "");
        return all.entrySet().stream()
                .map(setting -> "%s = '%s'%n".formatted(setting.getKey(), quoted(setting.getValue())))
                .collect(Collectors.joining());
    }

    private static String quoted(String value) {
        return value.replace("\\", "\\\\").replace("'", "''");
    }
}
