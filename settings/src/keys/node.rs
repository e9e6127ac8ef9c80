//! Identity, roles, listeners, sockets and the metadata quorum.
//!
//! Rows of the one table; see the parent module for their meaning.

use super::*;

keys! { NODE
    "broker.id.generation.enable": Bool = "true", any, fixed, no_effect(ZK);
        "Whether broker ids are handed out by ZooKeeper."
    "reserved.broker.max.id": Int = "1000", at_least(0), fixed, no_effect(ZK);
        "Largest id that may be configured by hand beside generated ones."
    "broker.id": Int = "-1", any, fixed, acts;
        "The node's id; the older name of node.id, and equal to it where both are set."
    "num.network.threads": Int = "3", at_least(1), dynamic, no_effect(THREADS);
        "Threads that read requests from the network."
    "num.io.threads": Int = "8", at_least(1), dynamic, no_effect(THREADS);
        "Threads that process requests."
    "background.threads": Int = "10", at_least(1), dynamic, no_effect(THREADS);
        "Threads for background work."
    "queued.max.requests": Int = "500", at_least(1), fixed, no_effect(THREADS);
        "Requests waiting for a thread before the network is read no further."
    "queued.max.request.bytes": Long = "-1", any, fixed, acts;
        "Bytes of requests held in memory before sockets are read no further; -1 leaves the bound to the broker."
    "request.timeout.ms": Int = "30000", any, fixed, acts;
        "Longest wait of this node for a reply of another one."
    "socket.connection.setup.timeout.ms": Long = "10000", any, fixed, no_effect(CLIENTS);
        "First limit on the time to set up a connection to another node."
    "socket.connection.setup.timeout.max.ms": Long = "30000", any, fixed, no_effect(CLIENTS);
        "Largest limit on the time to set up a connection to another node."
    "metadata.log.max.record.bytes.between.snapshots": Long = "20971520", at_least(1), fixed, acts;
        "Bytes of new metadata records after which a snapshot is written."
    "metadata.log.max.snapshot.interval.ms": Long = "3600000", at_least(0), fixed, acts;
        "Time after which a snapshot is written if there are new records; 0 turns that off."
    "process.roles": List = "", one_of("broker", "controller"), fixed, acts;
        "What this node is in its cluster: broker, controller or both."
    "node.id": Int = "-1", any, fixed, acts;
        "The node's id, unique in the cluster."
    "initial.broker.registration.timeout.ms": Int = "60000", any, fixed, acts;
        "How long a starting broker tries to register before it gives up."
    "broker.heartbeat.interval.ms": Int = "2000", any, fixed, acts;
        "Pause between heartbeats of a broker to the active controller."
    "broker.session.timeout.ms": Int = "9000", any, fixed, acts;
        "Time without a heartbeat after which the controller fences a broker."
    "controller.listener.names": Str = none, any, fixed, acts;
        "Names of the listeners on which controllers are reached; brokers use the first."
    "metadata.log.dir": Str = none, any, fixed, acts;
        "Folder of the metadata log; the first of log.dirs where unset."
    "metadata.log.segment.bytes": Int = "1073741824", at_least(12), fixed, acts;
        "Largest segment of the metadata log."
    "metadata.log.segment.min.bytes": Int = "8388608", at_least(12), fixed internal, acts;
        "Smallest value accepted for the segments of the metadata log."
    "metadata.log.segment.ms": Long = "604800000", any, fixed, acts;
        "Age at which a segment of the metadata log is closed."
    "metadata.max.retention.bytes": Long = "104857600", any, fixed, acts;
        "Size of metadata log and snapshots above which old ones go."
    "metadata.max.retention.ms": Long = "604800000", any, fixed, acts;
        "Age of metadata log and snapshots above which old ones go."
    "metadata.max.idle.interval.ms": Int = "500", at_least(0), fixed, acts;
        "Pause after which the active controller writes a record that says nothing; 0 turns that off."
    "server.max.startup.time.ms": Long = "9223372036854775807", at_least(0), fixed internal, no_effect(STARTUP);
        "Longest time that a start may take."
    "eligible.leader.replicas.enable": Bool = "false", any, fixed, no_effect(ELR);
        "Whether eligible leader replicas (KIP-966) are kept."
    "early.start.listeners": Str = none, any, fixed, no_effect(EARLY);
        "Listeners that accept connections before authorisation is ready."
    "listeners": Str = "PLAINTEXT://:9092", any, dynamic, acts;
        "Where this node listens: NAME://host:port, separated by commas."
    "advertised.listeners": Str = none, any, dynamic, acts;
        "What clients and brokers are told to connect to; listeners without those of the controller where unset."
    "listener.security.protocol.map": Str = "PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL", any, dynamic, acts;
        "Security protocol of each listener name."
    "control.plane.listener.name": Str = none, any, fixed, no_effect(ZK);
        "Listener for requests of the controller in ZooKeeper mode."
    "socket.send.buffer.bytes": Int = "102400", any, fixed, acts;
        "SO_SNDBUF of accepted sockets; unset or -1, the system tunes it."
    "socket.receive.buffer.bytes": Int = "102400", any, fixed, acts;
        "SO_RCVBUF of accepted sockets; unset or -1, the system tunes it."
    "socket.request.max.bytes": Int = "104857600", at_least(1), fixed, acts;
        "Largest request; a longer one closes its connection."
    "socket.listen.backlog.size": Int = "50", at_least(1), fixed, acts;
        "Connections that may wait to be accepted."
    "max.connections.per.ip": Int = "2147483647", at_least(0), dynamic, acts;
        "Connections from one address."
    "max.connections.per.ip.overrides": Str = "", any, dynamic, acts;
        "The same for single addresses: host:count, separated by commas."
    "max.connections": Int = "2147483647", at_least(0), dynamic, acts;
        "Connections of this broker besides those between brokers; beyond it, new ones wait."
    "max.connection.creation.rate": Int = "2147483647", at_least(0), dynamic, acts;
        "New connections per second, over the windows of client quotas; beyond it, accepting pauses."
    "connections.max.idle.ms": Long = "600000", any, fixed, acts;
        "Idle time after which a connection is closed; negative turns that off."
    "broker.rack": Str = none, any, fixed, acts;
        "The rack of this broker, for placement and for fetching from near replicas."
    "controller.socket.timeout.ms": Int = "30000", any, fixed, no_effect(CLIENTS);
        "Longest wait of a broker for a reply of the active controller."
    "security.inter.broker.protocol": Str = "PLAINTEXT", one_of("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"), fixed, acts;
        "Security protocol between brokers; inter.broker.listener.name excludes it."
    "inter.broker.protocol.version": Str = "3.7-IV4", metadata_version, fixed, acts;
        "metadata.version of a cluster that is started for the first time, where nothing else says it."
    "inter.broker.listener.name": Str = none, any, fixed, acts;
        "Listener on which brokers reach each other."
    "controlled.shutdown.max.retries": Int = "3", any, fixed, no_effect(ZK);
        "Attempts at a controlled shutdown."
    "controlled.shutdown.retry.backoff.ms": Long = "5000", any, fixed, no_effect(ZK);
        "Pause between attempts at a controlled shutdown."
    "controlled.shutdown.enable": Bool = "true", any, fixed, acts;
        "Whether a stopping broker hands over its leaderships first."
    "controller.quorum.voters": List = "", any, fixed, acts;
        "The voters of the metadata quorum: id@host:port, separated by commas."
    "controller.quorum.election.timeout.ms": Int = "1000", any, fixed, acts;
        "Longest time without a leader before a new election."
    "controller.quorum.fetch.timeout.ms": Int = "2000", any, fixed, acts;
        "Longest time without a successful fetch from the leader before an election, and without a majority's fetches before a leader resigns."
    "controller.quorum.election.backoff.max.ms": Int = "1000", any, fixed, acts;
        "Largest pause before a new election after a failed one."
    "controller.quorum.append.linger.ms": Int = "25", any, fixed, no_effect(LINGER);
        "How long the leader gathers records before it writes them."
    "controller.quorum.request.timeout.ms": Int = "2000", any, fixed, acts;
        "Longest wait for a reply within the quorum."
    "controller.quorum.retry.backoff.ms": Int = "20", any, fixed, acts;
        "Pause before a failed request within the quorum is sent again."
    "unstable.api.versions.enable": Bool = "false", any, fixed internal, no_effect(UNSTABLE);
        "Whether unreleased API versions are served."
    "unstable.metadata.versions.enable": Bool = "false", any, fixed internal, no_effect(UNSTABLE);
        "Whether unreleased metadata versions are allowed."
}
