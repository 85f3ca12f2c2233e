package dev.eventbus.examples.springboot;

import org.springframework.data.jpa.repository.JpaRepository;

interface NetWorthRepository extends JpaRepository<NetWorth, String> {}
