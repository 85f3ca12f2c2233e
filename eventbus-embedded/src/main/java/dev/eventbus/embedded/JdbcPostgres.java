package dev.eventbus.embedded;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.Properties;
import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** A PostgreSQL that is only known by its address. Thread-safe. */
final class JdbcPostgres implements PostgresServer {

    /** Server, database, parameters: {@code jdbc:postgresql://host:port/database?key=value}. */
    private static final Pattern URL = Pattern.compile("(jdbc:postgresql://[^/?]+/)([^?]*)(\\?.*)?");

    private static final Pattern NAME = Pattern.compile("[a-z_][a-z0-9_]{0,62}");

    private final String jdbcUrl;
    private final String user;
    private final String password;
    private final Queue<String> created = new ConcurrentLinkedQueue<>();

    JdbcPostgres(String jdbcUrl, String user, String password) {
        if (!URL.matcher(jdbcUrl).matches()) {
            throw new EmbeddedServerException("The JDBC URL must be jdbc:postgresql://host:port/database");
        }
        this.jdbcUrl = jdbcUrl;
        this.user = user;
        this.password = password;
    }

    @Override
    public String jdbcUrl() {
        return jdbcUrl;
    }

    @Override
    public String jdbcUrl(String database) {
        Matcher parts = parts();
        String parameters = parts.group(3) == null ? "" : parts.group(3);
        return parts.group(1) + checkedName(database) + parameters;
    }

    @Override
    public String user() {
        return user;
    }

    @Override
    public String password() {
        return password;
    }

    @Override
    public String createDatabase(String name) {
        String create = "create database \"%s\"".formatted(checkedName(name));
        try (Connection connection = connect();
                Statement statement = connection.createStatement()) {
            statement.execute(create);
            created.add(name);
            return jdbcUrl(name);
        } catch (SQLException e) {
            throw new EmbeddedServerException("Cannot create the database " + name, e);
        }
    }

    String version() {
        try (Connection connection = connect()) {
            return connection.getMetaData().getDatabaseProductVersion();
        } catch (SQLException e) {
            throw new EmbeddedServerException("Cannot reach PostgreSQL at %s as %s".formatted(printableUrl(), user), e);
        }
    }

    /**
     * Whether the server of a data folder lets us in now: false after 2 s of silence, and of another server that has taken the port.
     */
    boolean answersFrom(Path data) {
        Properties impatient = new Properties();
        impatient.setProperty("user", user);
        impatient.setProperty("password", password);
        impatient.setProperty("connectTimeout", "2");
        impatient.setProperty("socketTimeout", "2");
        try (Connection connection = DriverManager.getConnection(jdbcUrl, impatient);
                Statement statement = connection.createStatement();
                ResultSet folder = statement.executeQuery("show data_directory")) {
            return folder.next() && Files.isSameFile(data, Path.of(folder.getString(1)));
        } catch (SQLException | IOException e) {
            return false;
        }
    }

    /** Without the parameters, which may hold a password. */
    String printableUrl() {
        Matcher parts = parts();
        return parts.group(1) + parts.group(2);
    }

    /**
     * Drops what {@link #createDatabase} made, and the sessions in it.
     *
     * @throws EmbeddedServerException naming those that are still there; the others are gone
     */
    void dropCreated() {
        if (created.isEmpty()) {
            return;
        }
        SQLException failure = null;
        try (Connection connection = connect();
                Statement statement = connection.createStatement()) {
            for (String name : created) {
                try {
                    statement.execute("drop database if exists \"%s\" with (force)".formatted(name));
                    created.remove(name);
                } catch (SQLException e) {
                    failure = e;
                }
            }
        } catch (SQLException e) {
            failure = e;
        }
        if (failure != null) {
            throw new EmbeddedServerException("Cannot drop the databases that the tests made: " + created, failure);
        }
    }

    /** A name cannot be bound, so it comes from an allow-list and is quoted. */
    private static String checkedName(String database) {
        if (!NAME.matcher(database).matches()) {
            throw new IllegalArgumentException(
                    "database must be lower-case letters, digits and underscores, at most 63, was '" + database + "'");
        }
        return database;
    }

    private Connection connect() throws SQLException {
        return DriverManager.getConnection(jdbcUrl, user, password);
    }

    private Matcher parts() {
        Matcher parts = URL.matcher(jdbcUrl);
        if (!parts.matches()) {
            throw new IllegalStateException("Checked in the constructor");
        }
        return parts;
    }
}
