package dev.eventbus.it;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.MatchResult;
import java.util.regex.Pattern;
import org.apache.kafka.common.acl.AclOperation;
import org.apache.kafka.common.resource.PatternType;
import org.apache.kafka.common.resource.ResourceType;

/** One operation on one resource. */
record Acl(String user, AclOperation operation, ResourceType type, String name, PatternType pattern) {

    private static final Path DOCS = Path.of("../docs/operations.md");
    private static final Pattern PRINCIPAL = Pattern.compile("--allow-principal User:(\\w+)");
    private static final Pattern OPERATION = Pattern.compile("--operation (\\w+)");
    private static final Pattern RESOURCE = Pattern.compile("--(topic|group|transactional-id) (\\S+)");

    /** All that the docs name. */
    static List<Acl> documented() throws Exception {
        List<Acl> acls = new ArrayList<>();
        for (String line : Files.readAllLines(DOCS)) {
            if (line.startsWith("kafka-acls ")) {
                String user = all(PRINCIPAL, line).get(0).group(1);
                PatternType pattern = line.contains("prefixed") ? PatternType.PREFIXED : PatternType.LITERAL;
                for (MatchResult allowed : all(OPERATION, line)) {
                    for (MatchResult on : all(RESOURCE, line)) {
                        acls.add(new Acl(
                                user,
                                AclOperation.fromString(allowed.group(1).replaceAll("(?<=[a-z])(?=[A-Z])", "_")),
                                ResourceType.fromString(on.group(1).replace('-', '_')),
                                on.group(2),
                                pattern));
                    }
                }
            }
        }
        assertThat(acls).hasSizeGreaterThan(5);
        return acls;
    }

    private static List<MatchResult> all(Pattern pattern, String line) {
        return pattern.matcher(line).results().toList();
    }

    /** What lets a user see that the resource is there, and no more. */
    Acl onlyDescribe() {
        return new Acl(user, AclOperation.DESCRIBE, type, name, pattern);
    }

    @Override
    public String toString() {
        return "%s on %s %s for the %s".formatted(operation, type, name, user);
    }
}
