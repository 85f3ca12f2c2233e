package dev.eventbus.topics;

import dev.eventbus.ErrorCode;
import org.apache.kafka.common.errors.RetriableException;

/** No client was made, because it is certain that it could not talk to the cluster. */
final class UnreachableException extends RetriableException {

    private static final long serialVersionUID = 1;

    private final ErrorCode code;
    private final String what;

    UnreachableException(BrokerProbe.Finding finding) {
        super("the cluster " + finding.what());
        this.code = finding.code();
        this.what = finding.what();
    }

    ErrorCode code() {
        return code;
    }

    /** What the cluster does, for a sentence about it. */
    String what() {
        return what;
    }
}
