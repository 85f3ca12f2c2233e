package dev.eventbus.embedded;

/**
 * A PostgreSQL that a test may use, wherever it runs; see {@link ServersExtension}. It is shared, so a test takes a
 * database of its own:
 *
 * <pre>{@code
 * String url = postgres.createDatabase(postgres.uniqueName("orders"));
 * try (Connection c = DriverManager.getConnection(url, postgres.user(), postgres.password())) {
 *     ...
 * }
 * }</pre>
 *
 * <p>Thread-safe.
 */
public interface PostgresServer {

    /** The address of the database that is there from the start; without user and password. */
    String jdbcUrl();

    /** The address of another database of the same server; without user and password. */
    String jdbcUrl(String database);

    /** A user who may create databases. */
    String user();

    /** That user's password. */
    String password();

    /**
     * Creates an empty database.
     *
     * @param name lower-case letters, digits and underscores, at most 63, not beginning with a digit
     * @return its {@link #jdbcUrl(String)}
     * @throws IllegalArgumentException if the name is not of that form
     * @throws EmbeddedServerException if the server refuses it, for instance because it exists
     */
    String createDatabase(String name);

    /**
     * A name for a database, schema or table that nobody else uses, in this run or another.
     *
     * @param prefix what a person should recognise, such as {@code orders}
     * @return the prefix, an underscore and eight lower-case letters and digits
     */
    default String uniqueName(String prefix) {
        return SharedServers.uniqueName(prefix);
    }
}
