package dev.eventbus.it;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.List;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.common.acl.AccessControlEntry;
import org.apache.kafka.common.acl.AclBinding;
import org.apache.kafka.common.acl.AclOperation;
import org.apache.kafka.common.acl.AclPermissionType;
import org.apache.kafka.common.resource.ResourcePattern;

/** What the docs grant, in force in a test's own corner of a broker. */
final class Rights {

    private final Admin admin;
    private final Scene scene;
    private final String outboxId;
    private final List<Acl> documented = Acl.documented();

    /** Grants all of it. */
    Rights(Admin admin, Scene scene) throws Exception {
        this.admin = admin;
        this.scene = scene;
        this.outboxId = scene.strings("SELECT value FROM eventbus_meta WHERE name = 'outbox_id'")
                .get(0);
        grant(documented);
    }

    /** Nobody else's topic, group or outbox has it. */
    private AclBinding binding(Acl acl) {
        String own = switch (acl.type()) {
            case TOPIC -> scene.kafka().physicalTopic(acl.name());
            case GROUP -> scene.group(acl.name());
            case TRANSACTIONAL_ID -> acl.name() + outboxId;
            default -> throw new IllegalArgumentException(acl.toString());
        };
        return new AclBinding(
                new ResourcePattern(acl.type(), own, acl.pattern()),
                new AccessControlEntry("User:" + acl.user(), "*", acl.operation(), AclPermissionType.ALLOW));
    }

    List<Acl> of(String user) {
        return documented.stream().filter(acl -> acl.user().equals(user)).toList();
    }

    /** Returns when it is in force. */
    void grant(Acl acl) throws Exception {
        grant(List.of(acl));
    }

    private void grant(List<Acl> acls) throws Exception {
        List<AclBinding> bindings = acls.stream().map(this::binding).toList();
        admin.createAcls(bindings).all().get();
        Eventually.holds(
                () -> bindings.stream().allMatch(this::isInForce), () -> "not all of %s is in force".formatted(acls));
    }

    /** Returns when it is no longer in force. */
    void revoke(Acl acl) throws Exception {
        AclBinding binding = binding(acl);
        admin.deleteAcls(List.of(binding.toFilter())).all().get();
        Eventually.holds(() -> !isInForce(binding), () -> acl + " is still in force");
    }

    private boolean isInForce(AclBinding binding) {
        return !admin.describeAcls(binding.toFilter())
                .values()
                .toCompletionStage()
                .toCompletableFuture()
                .join()
                .isEmpty();
    }

    /** What is done without one of them. */
    interface Step {

        /** @param isSeen whether the user may still see that the resource is there */
        void without(Acl acl, boolean isSeen) throws Exception;
    }

    /** Takes one after the other away; of what is to be read first all of it, and then all but the right to see that it is there. */
    void withoutEach(List<Acl> acls, Step step) throws Exception {
        assertThat(acls).isNotEmpty();
        for (Acl acl : acls) {
            revoke(acl);
            step.without(acl, false);
            if (acl.operation() == AclOperation.READ) {
                grant(acl.onlyDescribe());
                step.without(acl, true);
                revoke(acl.onlyDescribe());
            }
            grant(acl);
        }
    }

    /** The resource of an ACL as the broker names it, quoted. */
    String resource(Acl acl) {
        return "'%s'".formatted(binding(acl).pattern().name());
    }
}
