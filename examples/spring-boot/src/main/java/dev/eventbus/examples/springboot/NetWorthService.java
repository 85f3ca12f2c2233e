package dev.eventbus.examples.springboot;

import org.springframework.stereotype.Service;
import org.springframework.transaction.annotation.Propagation;
import org.springframework.transaction.annotation.Transactional;

/** The consumer's part of the work. Adding twice would be wrong, so it commits together with the inbox's mark. */
@Service
class NetWorthService {

    private final NetWorthRepository netWorths;

    NetWorthService(NetWorthRepository netWorths) {
        this.netWorths = netWorths;
    }

    @Transactional(propagation = Propagation.MANDATORY) // the one that holds the mark
    public void add(AssetService.AssetAdded added) {
        NetWorth netWorth = netWorths.findById(added.userId()).orElseGet(NetWorth::new);
        netWorth.userId = added.userId();
        netWorth.total += added.amount();
        netWorths.save(netWorth);
    }
}
