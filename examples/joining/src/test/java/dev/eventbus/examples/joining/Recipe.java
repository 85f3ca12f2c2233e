package dev.eventbus.examples.joining;

import dev.eventbus.outbox.Outbox;
import jakarta.persistence.EntityManagerFactory;
import java.util.Map;
import java.util.function.BiFunction;
import javax.sql.DataSource;
import org.hibernate.jpa.HibernatePersistenceConfiguration;
import org.jdbi.v3.core.Jdbi;
import org.jooq.SQLDialect;
import org.jooq.impl.DSL;
import org.springframework.context.annotation.AnnotationConfigApplicationContext;
import org.springframework.jdbc.core.JdbcTemplate;
import org.springframework.jdbc.support.JdbcTransactionManager;
import org.springframework.transaction.annotation.EnableTransactionManagement;

/** Every recipe, set up as its framework wants it. */
enum Recipe {
    JDBC((dataSource, outbox) -> {
        JdbcAssets assets = new JdbcAssets(dataSource, outbox);
        return new Service(assets, assets, () -> {});
    }),
    SPRING((dataSource, outbox) -> {
        AnnotationConfigApplicationContext spring = spring(dataSource, outbox);
        return new Service(spring.getBean(Assets.class), spring.getBean(Assets.Import.class), spring::close);
    }),
    JPA((dataSource, outbox) -> {
        EntityManagerFactory factory = hibernate(dataSource);
        return new Service(new JpaAssets(factory, outbox), amounts -> Map.of(), factory::close);
    }),
    JOOQ((dataSource, outbox) -> {
        JooqAssets assets = new JooqAssets(DSL.using(dataSource, SQLDialect.POSTGRES), outbox);
        return new Service(assets, assets, () -> {});
    }),
    JDBI((dataSource, outbox) -> {
        JdbiAssets assets = new JdbiAssets(Jdbi.create(dataSource), outbox);
        return new Service(assets, assets, () -> {});
    });

    /** A recipe that is ready for use. */
    record Service(Assets assets, Assets.Import batch, Runnable end) implements AutoCloseable {
        @Override
        public void close() {
            end.run();
        }
    }

    private final BiFunction<DataSource, Outbox, Service> setUp;

    Recipe(BiFunction<DataSource, Outbox, Service> setUp) {
        this.setUp = setUp;
    }

    Service over(DataSource dataSource, Outbox outbox) {
        return setUp.apply(dataSource, outbox);
    }

    @EnableTransactionManagement
    static class Transactional {}

    static AnnotationConfigApplicationContext spring(DataSource dataSource, Outbox outbox) {
        AnnotationConfigApplicationContext spring = new AnnotationConfigApplicationContext();
        spring.getBeanFactory().registerSingleton("dataSource", dataSource);
        spring.getBeanFactory().registerSingleton("outbox", outbox);
        spring.registerBean(JdbcTemplate.class, () -> new JdbcTemplate(dataSource));
        spring.registerBean(JdbcTransactionManager.class, () -> new JdbcTransactionManager(dataSource));
        spring.register(Transactional.class, SpringEvents.class, SpringAssets.class, SpringAssets.Batch.class);
        spring.refresh();
        return spring;
    }

    static EntityManagerFactory hibernate(DataSource dataSource) {
        return new HibernatePersistenceConfiguration("joining")
                .managedClass(JpaAssets.Asset.class)
                .property("jakarta.persistence.nonJtaDataSource", dataSource)
                .createEntityManagerFactory();
    }
}
