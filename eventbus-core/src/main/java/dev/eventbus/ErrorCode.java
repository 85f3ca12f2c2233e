package dev.eventbus;

/**
 * What can be wrong, each with a code that never changes its meaning: it begins the message of every {@link EventBusException} but
 * {@link DecodeException}, whose text goes into dead letters beside its reason. So a log line can be searched for and an alert can be
 * made of it. Some are never thrown: a risk, and a problem in {@code health()} and the log, begin with theirs. The page {@code docs/errors.md} is
 * made of this list.
 *
 * <p>1xxx Kafka, 2xxx publishing, 3xxx consuming, 4xxx relaying, 5xxx settings and topics, 6xxx servers for tests.
 */
public enum ErrorCode {
    TOPIC_MISSING(
            1001,
            "The cluster does not have the topic.",
            "Events wait in the outbox; a runner waits for the topic; other topics go on.",
            "Correct the topic's name, or create it: Topics.of(kafka, ...).provision(), or eventbus-cli topics apply. Topics are never created by themselves."),
    NOBODY_LISTENS(
            1003,
            "Nothing listens at the addresses in bootstrap.servers: the connection is refused.",
            "Events wait in the outbox; a runner goes on where it was when the brokers are back.",
            "Start the brokers, or correct host and port in bootstrap.servers."),
    ADDRESS_UNUSABLE(
            1004,
            "An address in bootstrap.servers has no DNS entry, or the client cannot use the settings.",
            "Nothing was sent.",
            "Correct the settings given to KafkaCluster.of; a host name must have a DNS entry on this machine."),
    SPEAKS_PLAINTEXT(
            1005,
            "The client is set to TLS, and the port speaks plaintext.",
            "Nothing was sent.",
            "Use the brokers' TLS port (often 9093), or set security.protocol to PLAINTEXT or SASL_PLAINTEXT."),
    SPEAKS_TLS(
            1006,
            "The client is set to plaintext, and the port speaks TLS.",
            "Nothing was sent.",
            "Set security.protocol to SSL or SASL_SSL and a trust store, or use the brokers' plaintext port."),
    NOT_AUTHORIZED(
            1007,
            "This user may not do that: an ACL is missing.",
            "Events wait in the outbox; a runner finishes nothing that it could not commit.",
            "Ask for the ACL that the message names; docs/operations.md lists all of them."),
    NOT_AUTHENTICATED(
            1021,
            "The broker refuses the credentials.",
            "Events wait in the outbox; a runner waits.",
            "Check user and password in sasl.jaas.config, sasl.mechanism and security.protocol."),
    REPLICATION_WEAK(
            1008,
            "The topic's replicas and min.insync.replicas do not bear the loss of one broker: a risk that Topics.verify() tells.",
            "Nothing is refused for it. One lost disk may lose acknowledged events, or events wait in the outbox while one broker is away: the finding says which.",
            "Use replication factor 3 and min.insync.replicas 2, or leave it so on purpose."),
    NOT_ENOUGH_REPLICAS(
            1009,
            "Fewer replicas are in sync than the topic's min.insync.replicas.",
            "Nothing is lost: events wait in the outbox.",
            "Bring the missing broker back; nothing is to be done in this service."),
    EVENT_TOO_LARGE(
            1010,
            "The event is larger than maxEventBytes or than its topic takes.",
            "Refused before it was written; the transaction is as usable as before.",
            "Put a reference into the event, or raise maxEventBytes and the topic's max.message.bytes together. A value over 1 MiB is refused whatever they are."),
    NO_ANSWER(
            1011,
            "The cluster does not answer in time, though something listens or nobody could find out whether it does.",
            "Events wait in the outbox; a runner goes on where it was.",
            "See that the brokers are up, that security.protocol (with SASL or without) is that of the port, that advertised.listeners are addresses this machine reaches, and that no firewall swallows the packets."),
    TLS_NOT_TRUSTED(
            1012,
            "Client and broker do not trust each other: the TLS handshake failed.",
            "Nothing was sent.",
            "Check ssl.truststore.location, the broker's certificate (authority, expiry, host name) and, if it asks for one, ssl.keystore.location."),
    TOPIC_NAME_INVALID(1013, "The name is no legal topic name.", "Nothing was sent.", "Correct the topic's name."),
    TOO_FEW_BROKERS(
            1014,
            "There are fewer brokers than the topic's replicas.",
            "The topic was not created.",
            "Start more brokers, or state fewer replicas on purpose: .replicationFactor(1) for a single broker."),
    BROKER_TOO_OLD(
            1015,
            "The broker does not know a request that is needed.",
            "Nothing was changed.",
            "Use a broker of version 2.5 or later."),
    GROUP_INSTANCE_TAKEN(
            1016,
            "Another member of the group has the same group.instance.id.",
            "The other member reads the partitions. A runner whose place was taken is DOWN and reads nothing until it is closed; one that cannot join keeps trying.",
            "Give each instance a group.instance.id of its own, or none, and restart this one."),
    RECORD_TOO_LARGE(
            1017,
            "The broker refuses the record as too large.",
            "The event stays in the outbox and its key is blocked, or the dead letter is shortened.",
            "Raise max.message.bytes of the topic, or send a reference instead of the data."),
    DEAD_LETTER_NOT_SENT(
            1018,
            "The dead-letter topic did not acknowledge a dead letter.",
            "The record is not finished and its key waits; the letter is sent again.",
            "See that the topic exists, that this user may write to it, and that its brokers answer."),
    PARTITIONS_ARE_ADOPTED(
            1019,
            "The topic is going from one number of partitions to another.",
            "Its events wait in the outbox until all that was sent before has been handled.",
            "Wait; if nobody is doing that any more, call OutboxAdmin.adoptPartitions again."),
    KAFKA_FAILED(
            1099,
            "Kafka or its client reports something else.",
            "As the message says.",
            "The cause has the details; what can be tried again is tried again."),
    NO_TRANSACTION(
            2001,
            "There is no transaction, or its connection is closed, or it was lent in a wrong way.",
            "Nothing was written: outside the transaction an event would survive its rollback.",
            "Publish inside the transaction, or pass its connection: outbox.within(connection)."),
    AUTO_COMMIT(
            2002,
            "The connection is in auto-commit mode.",
            "Nothing was written: the event would be kept even if the change failed.",
            "Call setAutoCommit(false) before the first statement, or publish inside your framework's transaction."),
    UNSAFE_SESSION(
            2021,
            "The session breaks a condition of publishing (it commits asynchronously, say), a trigger or rule of the event table keeps rows out, the transaction holds locks of other keys, or its isolation level makes a lock of keys worthless.",
            "Nothing was written or locked; only where a trigger or rule keeps rows out may other events of the call have been written.",
            "Do what the message says. Commit synchronously in sessions that publish; take the trigger or rule away, and roll back; name all keys of a transaction in one lockKeys call, on PostgreSQL at READ COMMITTED."),
    OUTBOX_UNUSABLE(
            2004,
            "The outbox's tables, privileges or database settings are not as they must be.",
            "A relay sends nothing and tries again until it is mended; events that are in the table stay there.",
            "Do what the message says for each finding; the scripts are in META-INF/eventbus/outbox of eventbus-outbox."),
    KEY_MISSING(
            2005,
            "The event has no key (its userId, say).",
            "Nothing was written: without it events of one user could overtake each other.",
            "Set the key's property before publishing."),
    EVENT_INVALID(
            2022,
            "Key, id, headers or payload break a rule of the wire format, so that no consumer could read the event.",
            "Nothing was written; the transaction is as usable as before.",
            "Mend what the message names; the rules are in docs/wire-format.md."),
    PAYLOAD_UNWRITABLE(
            2023,
            "The codec could not write the payload, or does not reach what it needs for it.",
            "Nothing was written; the transaction is as usable as before.",
            "Mend the payload's class or its codec; the cause has the details. If the message says that something is out of reach (a schema registry), try the whole transaction again."),
    DATABASE_REFUSED(
            2024,
            "The database refused the row of the event, or a lock.",
            "The statement failed inside your transaction; nothing of it is kept after the rollback.",
            "Roll the transaction back; SQLSTATE and cause say whether another try is worth it (40001, 40P01) or not."),
    HEADERS_NOT_CARRIED(
            2025,
            "The event has headers of yours, and Debezium relays the outbox, which cannot send them.",
            "Nothing was written; the transaction is as usable as before.",
            "Put what they say into the payload, or let a relay send the events of this outbox."),
    RECORD_UNREADABLE(
            3001,
            "A record cannot become an event. docs/wire-format.md lists the reasons.",
            "It goes to the dead-letter topic with its bytes untouched; the partition goes on.",
            "Mend the producer; then redrive or discard the letter."),
    AT_WORK_FOR_LONG(
            3004,
            "A handler or a codec does not return, or the inbox's database does not answer it: told in health() and, once, in the log.",
            "Its key waits for it, and so does a hand-over of its partition. Nothing is lost.",
            "Take a thread dump and see what it waits for. Give what it calls a time-out, and the inbox's driver a socketTimeout."),
    HANDLER_ENDED_TRANSACTION(
            3021,
            "A handler ended the transaction that holds the mark of its event.",
            "What it wrote before may be committed, and then the event counts as handled.",
            "Take the statement that commits (DDL, COMMIT in a procedure) out of the handler; compare the data of the event by hand."),
    INBOX_UNUSABLE(
            3022,
            "The inbox's tables, privileges or database settings are not as they must be, or its database does not answer.",
            "Nothing was started, or the call ended where the message says.",
            "Do what the message says for each finding; the scripts are in META-INF/eventbus/inbox of eventbus-consumer."),
    RUNNER_CONTRADICTS_ITSELF(
            5021,
            "Options of the runner contradict each other or something that is needed is missing.",
            "Nothing was started.",
            "Change the builder's calls as each finding says."),
    RELAY_CONTRADICTS_ITSELF(
            5022,
            "The relay's options would break a promise for the outbox it is given, or a Debezium connector in its place would.",
            "Nothing was started.",
            "Change the builder's calls as the finding says."),
    ADOPTION_ENDED(
            4021,
            "The new partitions of a topic were not adopted.",
            "The topic goes on as before.",
            "Do what the message names, then call adoptPartitions again."),
    SETTINGS_REFUSED(
            5001,
            "Settings of the Kafka client are unknown or would break a promise.",
            "Nothing was opened.",
            "Change each setting as its finding says."),
    TOPICS_CONTRADICT_THEMSELVES(
            5023,
            "Topics as they are declared contradict themselves or each other.",
            "No cluster was asked.",
            "Change the declarations as each finding says."),
    TOPICS_DIFFER(
            5024,
            "Topics of the cluster are not as they are declared, and a service asked for that with Topics.requireAsSpecified().",
            "Nothing was started, and nothing was changed.",
            "Do what each finding says; Topics.apply() mends what can be mended without losing an event."),
    POSTGRES_AS_ROOT(
            6001,
            "PostgreSQL of eventbus-embedded cannot be started as root here: unshare is missing or blocked.",
            "Nothing was started.",
            "Run as another user, or use a server of yours: -Deventbus.servers=external with eventbus.external.jdbc-url, user and password.");

    private final int number;
    private final String what;
    private final String data;
    private final String fix;

    ErrorCode(int number, String what, String data, String fix) {
        this.number = number;
        this.what = what;
        this.data = data;
        this.fix = fix;
    }

    /** The code as it is printed, for instance {@code EB-1001}. */
    public String id() {
        return "EB-" + number;
    }

    /** What is wrong. One or more sentences, as those of the others. */
    public String what() {
        return what;
    }

    /** What becomes of the data. */
    public String data() {
        return data;
    }

    /** What a person can do. */
    public String fix() {
        return fix;
    }

    /** A message that begins with this code. */
    String before(String message) {
        return id() + " " + message;
    }
}
