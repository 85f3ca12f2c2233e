package dev.eventbus.faults;

import dev.eventbus.faults.Schedule.Fault;
import dev.eventbus.outbox.JdbcOutbox;
import dev.eventbus.outbox.OutboxAdmin;
import dev.eventbus.outbox.OutboxAdmin.BlockedKey;
import java.sql.SQLException;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.common.acl.AclBinding;
import org.apache.kafka.common.acl.AclOperation;
import org.apache.kafka.common.acl.AclPermissionType;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.config.TopicConfig;
import org.apache.kafka.common.resource.ResourceType;

/** What a {@link Nemesis}, as somebody with all rights, says to the cluster, and takes back. */
final class ClusterDamage {

    private static final long ANSWERS_WITHIN_SECONDS = 10;

    /** A few of a hundred events are larger. */
    private static final String LOW_LIMIT = "2048";

    /** Until a key that is blocked has waited for somebody to unblock it. */
    private static final long SEEN_WITHIN_MILLIS = 2_000;

    private final Servers servers;
    private final OutboxAdmin outbox;
    private final AtomicInteger unblocked = new AtomicInteger();

    /** Whether records are limited, as far as anybody may have heard. */
    private volatile boolean low;

    ClusterDamage(Servers servers) {
        this.servers = servers;
        this.outbox = OutboxAdmin.of(JdbcOutbox.postgres(), servers.dataSource());
    }

    private interface Order {
        void give(Admin admin) throws ExecutionException, InterruptedException, TimeoutException;
    }

    /** What one thing may be said about. */
    private static AclBinding refusal(int dice) {
        return switch (dice % 4) {
            case 0 -> denied(ResourceType.TOPIC, Change.TOPIC, AclOperation.WRITE);
            case 1 -> denied(ResourceType.TOPIC, Change.TOPIC, AclOperation.READ);
            case 2 -> denied(ResourceType.TOPIC, Change.LETTERS, AclOperation.WRITE);
            default -> denied(ResourceType.GROUP, ConsumerMain.GROUP, AclOperation.READ);
        };
    }

    private static AclBinding denied(ResourceType type, String name, AclOperation operation) {
        return Servers.acl(type, name, operation, AclPermissionType.DENY);
    }

    /** Returns whether it was said in time: while brokers are away nobody hears it. */
    boolean revoke(Fault fault) throws InterruptedException {
        AclBinding refusal = refusal(fault.dice());
        boolean said = isGiven(
                admin -> admin.createAcls(List.of(refusal)).all().get(ANSWERS_WITHIN_SECONDS, TimeUnit.SECONDS));
        try {
            Damage.pause(fault.forMillis());
        } finally { // also if nobody knows whether it was heard
            insist(
                    "the taking back of " + refusal,
                    admin -> admin.deleteAcls(List.of(refusal.toFilter()))
                            .all()
                            .get(ANSWERS_WITHIN_SECONDS, TimeUnit.SECONDS));
        }
        return said;
    }

    /** Returns whether a key had to wait for a person. */
    boolean lowerLimit(Fault fault) throws InterruptedException {
        int before = unblocked.get();
        low = true;
        isGiven(limit(AlterConfigOp.OpType.SET));
        try {
            Damage.pause(fault.forMillis());
        } finally {
            insist("the old limit of records", limit(AlterConfigOp.OpType.DELETE));
            low = false;
        }
        Damage.pause(SEEN_WITHIN_MILLIS);
        return unblocked.get() > before;
    }

    private static Order limit(AlterConfigOp.OpType type) {
        ConfigResource topic = new ConfigResource(ConfigResource.Type.TOPIC, Change.TOPIC);
        ConfigEntry limit = new ConfigEntry(TopicConfig.MAX_MESSAGE_BYTES_CONFIG, LOW_LIMIT);
        return admin -> admin.incrementalAlterConfigs(Map.of(topic, List.of(new AlterConfigOp(limit, type))))
                .all()
                .get(ANSWERS_WITHIN_SECONDS, TimeUnit.SECONDS);
    }

    /** Only those that a record limit explains, once it is taken back: others have no reason, and are left for the verdict. */
    void unblock() throws SQLException {
        if (low) {
            return;
        }
        for (BlockedKey blocked : outbox.blocked()) {
            if (blocked.error().contains("RecordTooLarge") && outbox.unblock(blocked.topic(), blocked.key())) {
                unblocked.incrementAndGet();
            }
        }
    }

    private boolean isGiven(Order order) throws InterruptedException {
        try (Admin admin = servers.admin()) {
            order.give(admin);
            return true;
        } catch (ExecutionException | TimeoutException e) {
            System.err.println("not heard: " + e);
            return false;
        }
    }

    /** What ends a fault has to be heard, whatever else is out of order. */
    private void insist(String what, Order order) throws InterruptedException {
        long start = System.nanoTime();
        while (!isGiven(order)) {
            if (System.nanoTime() - start > Comeback.WITHIN.toNanos()) {
                throw new IllegalStateException("nobody has heard " + what);
            }
        }
    }
}
