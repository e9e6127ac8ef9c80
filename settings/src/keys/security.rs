//! Security, and what only ZooKeeper mode reads.
//!
//! Rows of the one table; see the parent module for their meaning.

use super::*;

keys! { SECURITY
    "zookeeper.connect": Str = none, any, fixed, no_effect(ZK);
        "ZooKeeper's address, in ZooKeeper mode."
    "zookeeper.session.timeout.ms": Int = "18000", any, fixed, no_effect(ZK);
        "Session timeout towards ZooKeeper."
    "zookeeper.connection.timeout.ms": Int = none, any, fixed, no_effect(ZK);
        "Longest wait for a connection to ZooKeeper."
    "zookeeper.set.acl": Bool = "false", any, fixed, no_effect(ZK);
        "Whether nodes in ZooKeeper get ACLs."
    "zookeeper.max.in.flight.requests": Int = "10", at_least(1), fixed, no_effect(ZK);
        "Requests under way to ZooKeeper before callers wait."
    "zookeeper.ssl.client.enable": Bool = "false", any, fixed, no_effect(ZK);
        "Whether ZooKeeper is reached over TLS."
    "zookeeper.clientCnxnSocket": Str = none, any, fixed, no_effect(ZK);
        "Socket class of the ZooKeeper client."
    "zookeeper.ssl.keystore.location": Str = none, any, fixed, no_effect(ZK);
        "Key store for ZooKeeper over TLS."
    "zookeeper.ssl.keystore.password": Password = none, any, fixed, no_effect(ZK);
        "Password of that key store."
    "zookeeper.ssl.keystore.type": Str = none, any, fixed, no_effect(ZK);
        "Type of that key store."
    "zookeeper.ssl.truststore.location": Str = none, any, fixed, no_effect(ZK);
        "Trust store for ZooKeeper over TLS."
    "zookeeper.ssl.truststore.password": Password = none, any, fixed, no_effect(ZK);
        "Password of that trust store."
    "zookeeper.ssl.truststore.type": Str = none, any, fixed, no_effect(ZK);
        "Type of that trust store."
    "zookeeper.ssl.protocol": Str = "TLSv1.2", any, fixed, no_effect(ZK);
        "TLS protocol towards ZooKeeper."
    "zookeeper.ssl.enabled.protocols": List = none, any, fixed, no_effect(ZK);
        "TLS versions offered to ZooKeeper."
    "zookeeper.ssl.cipher.suites": List = none, any, fixed, no_effect(ZK);
        "Cipher suites offered to ZooKeeper."
    "zookeeper.ssl.endpoint.identification.algorithm": Str = "HTTPS", any, fixed, no_effect(ZK);
        "Whether ZooKeeper's host name is verified."
    "zookeeper.ssl.crl.enable": Bool = "false", any, fixed, no_effect(ZK);
        "Whether revocation lists are consulted for ZooKeeper."
    "zookeeper.ssl.ocsp.enable": Bool = "false", any, fixed, no_effect(ZK);
        "Whether OCSP is consulted for ZooKeeper."
    "sasl.mechanism.controller.protocol": Str = "GSSAPI", any, fixed, no_effect(SASL);
        "SASL mechanism towards controllers."
    "zookeeper.metadata.migration.enable": Bool = "false", any, fixed, refused;
        "Migration from ZooKeeper."
    "zookeeper.metadata.migration.min.batch.size": Int = "200", at_least(1), fixed internal, no_effect(ZK);
        "Batch size of the migration from ZooKeeper."
    "authorizer.class.name": Str = "", any, fixed, refused;
        "Class that decides who may do what."
    "connection.failed.authentication.delay.ms": Int = "100", at_least(0), fixed, no_effect(SASL);
        "Pause before a connection that failed to authenticate is closed."
    "connections.max.reauth.ms": Long = "0", any, fixed, no_effect(SASL);
        "Time after which a SASL client must authenticate again."
    "sasl.server.max.receive.size": Int = "524288", any, fixed, no_effect(SASL);
        "Largest message while a client authenticates."
    "security.providers": Str = none, any, fixed, no_effect(TLS);
        "Security provider classes of the JVM."
    "principal.builder.class": Class = "org.apache.kafka.common.security.authenticator.DefaultKafkaPrincipalBuilder", any, dynamic, refused;
        "Class that makes a principal of a connection."
    "ssl.protocol": Str = "TLSv1.3", any, dynamic, no_effect(TLS);
        "TLS protocol."
    "ssl.provider": Str = none, any, dynamic, no_effect(TLS);
        "TLS provider of the JVM."
    "ssl.enabled.protocols": List = "TLSv1.2,TLSv1.3", any, dynamic, no_effect(TLS);
        "TLS versions that are offered."
    "ssl.keystore.type": Str = "JKS", any, dynamic, no_effect(TLS);
        "Type of the key store."
    "ssl.keystore.location": Str = none, any, dynamic, no_effect(TLS);
        "Key store of the broker."
    "ssl.keystore.password": Password = none, any, dynamic, no_effect(TLS);
        "Password of the key store."
    "ssl.key.password": Password = none, any, dynamic, no_effect(TLS);
        "Password of the private key."
    "ssl.keystore.key": Password = none, any, dynamic, no_effect(TLS);
        "Private key as PEM."
    "ssl.keystore.certificate.chain": Password = none, any, dynamic, no_effect(TLS);
        "Certificate chain as PEM."
    "ssl.truststore.type": Str = "JKS", any, dynamic, no_effect(TLS);
        "Type of the trust store."
    "ssl.truststore.location": Str = none, any, dynamic, no_effect(TLS);
        "Trust store of the broker."
    "ssl.truststore.password": Password = none, any, dynamic, no_effect(TLS);
        "Password of the trust store."
    "ssl.truststore.certificates": Password = none, any, dynamic, no_effect(TLS);
        "Trusted certificates as PEM."
    "ssl.keymanager.algorithm": Str = "SunX509", any, dynamic, no_effect(TLS);
        "Key manager algorithm of the JVM."
    "ssl.trustmanager.algorithm": Str = "PKIX", any, dynamic, no_effect(TLS);
        "Trust manager algorithm of the JVM."
    "ssl.endpoint.identification.algorithm": Str = "https", any, dynamic, no_effect(TLS);
        "How a server's host name is verified."
    "ssl.secure.random.implementation": Str = none, any, dynamic, no_effect(TLS);
        "Random number generator of the JVM."
    "ssl.client.auth": Str = "none", one_of("required", "requested", "none"), dynamic, no_effect(TLS);
        "Whether clients must present a certificate."
    "ssl.cipher.suites": List = "", any, dynamic, no_effect(TLS);
        "Cipher suites that are offered."
    "ssl.principal.mapping.rules": Str = "DEFAULT", any, fixed, no_effect(TLS);
        "Rules from a certificate's name to a principal."
    "ssl.engine.factory.class": Class = none, any, dynamic, no_effect(TLS);
        "Class that makes TLS engines."
    "ssl.allow.dn.changes": Bool = "false", any, fixed, no_effect(TLS);
        "Whether a new certificate may have another name."
    "ssl.allow.san.changes": Bool = "false", any, fixed, no_effect(TLS);
        "Whether a new certificate may have other alternative names."
    "sasl.mechanism.inter.broker.protocol": Str = "GSSAPI", any, dynamic, no_effect(SASL);
        "SASL mechanism between brokers."
    "sasl.jaas.config": Password = none, any, dynamic, no_effect(SASL);
        "JAAS login context."
    "sasl.enabled.mechanisms": List = "GSSAPI", any, dynamic, no_effect(SASL);
        "SASL mechanisms that are served."
    "sasl.server.callback.handler.class": Class = none, any, fixed, no_effect(SASL);
        "Class that answers a SASL server's callbacks."
    "sasl.client.callback.handler.class": Class = none, any, fixed, no_effect(SASL);
        "Class that answers a SASL client's callbacks."
    "sasl.login.class": Class = none, any, fixed, no_effect(SASL);
        "Class that logs in."
    "sasl.login.callback.handler.class": Class = none, any, fixed, no_effect(SASL);
        "Class that answers a login's callbacks."
    "sasl.kerberos.service.name": Str = none, any, dynamic, no_effect(SASL);
        "Kerberos principal name of the brokers."
    "sasl.kerberos.kinit.cmd": Str = "/usr/bin/kinit", any, dynamic, no_effect(SASL);
        "Path of kinit."
    "sasl.kerberos.ticket.renew.window.factor": Double = "0.8", any, dynamic, no_effect(SASL);
        "Part of a ticket's life after which it is renewed."
    "sasl.kerberos.ticket.renew.jitter": Double = "0.05", any, dynamic, no_effect(SASL);
        "Random part of that time."
    "sasl.kerberos.min.time.before.relogin": Long = "60000", any, dynamic, no_effect(SASL);
        "Shortest pause between logins."
    "sasl.kerberos.principal.to.local.rules": List = "DEFAULT", any, dynamic, no_effect(SASL);
        "Rules from a Kerberos principal to a short name."
    "sasl.login.refresh.window.factor": Double = "0.8", any, dynamic, no_effect(SASL);
        "Part of a credential's life after which it is renewed."
    "sasl.login.refresh.window.jitter": Double = "0.05", any, dynamic, no_effect(SASL);
        "Random part of that time."
    "sasl.login.refresh.min.period.seconds": Short = "60", any, dynamic, no_effect(SASL);
        "Shortest pause before a credential is renewed."
    "sasl.login.refresh.buffer.seconds": Short = "300", any, dynamic, no_effect(SASL);
        "Time kept before a credential ends."
    "sasl.login.connect.timeout.ms": Int = none, any, fixed, no_effect(SASL);
        "Longest wait for a connection to an identity provider."
    "sasl.login.read.timeout.ms": Int = none, any, fixed, no_effect(SASL);
        "Longest wait for a reply of an identity provider."
    "sasl.login.retry.backoff.max.ms": Long = "10000", any, fixed, no_effect(SASL);
        "Largest pause between attempts to log in."
    "sasl.login.retry.backoff.ms": Long = "100", any, fixed, no_effect(SASL);
        "First pause between attempts to log in."
    "sasl.oauthbearer.scope.claim.name": Str = "scope", any, fixed, no_effect(SASL);
        "Name of the claim that holds the scope."
    "sasl.oauthbearer.sub.claim.name": Str = "sub", any, fixed, no_effect(SASL);
        "Name of the claim that holds the subject."
    "sasl.oauthbearer.token.endpoint.url": Str = none, any, fixed, no_effect(SASL);
        "Where OAuth tokens are fetched."
    "sasl.oauthbearer.jwks.endpoint.url": Str = none, any, fixed, no_effect(SASL);
        "Where the keys of the OAuth provider are fetched."
    "sasl.oauthbearer.jwks.endpoint.refresh.ms": Long = "3600000", any, fixed, no_effect(SASL);
        "Pause between fetches of those keys."
    "sasl.oauthbearer.jwks.endpoint.retry.backoff.ms": Long = "100", any, fixed, no_effect(SASL);
        "First pause between attempts to fetch those keys."
    "sasl.oauthbearer.jwks.endpoint.retry.backoff.max.ms": Long = "10000", any, fixed, no_effect(SASL);
        "Largest pause between attempts to fetch those keys."
    "sasl.oauthbearer.clock.skew.seconds": Int = "30", any, fixed, no_effect(SASL);
        "Difference of clocks that is let pass."
    "sasl.oauthbearer.expected.audience": List = none, any, fixed, no_effect(SASL);
        "Audiences of which a token must name one."
    "sasl.oauthbearer.expected.issuer": Str = none, any, fixed, no_effect(SASL);
        "Issuer that a token must name."
    "delegation.token.master.key": Password = none, any, fixed, no_effect(SASL);
        "The older name of delegation.token.secret.key."
    "delegation.token.secret.key": Password = none, any, fixed, no_effect(SASL);
        "Key that signs delegation tokens."
    "delegation.token.max.lifetime.ms": Long = "604800000", at_least(1), fixed, no_effect(SASL);
        "Longest life of a delegation token."
    "delegation.token.expiry.time.ms": Long = "86400000", at_least(1), fixed, no_effect(SASL);
        "Life of a delegation token before it must be renewed."
    "delegation.token.expiry.check.interval.ms": Long = "3600000", at_least(1), fixed, no_effect(SASL);
        "Pause between looks for expired delegation tokens."
    "password.encoder.secret": Password = none, any, fixed, no_effect(ZK);
        "Secret for passwords that ZooKeeper keeps."
    "password.encoder.old.secret": Password = none, any, fixed, no_effect(ZK);
        "The secret before."
    "password.encoder.keyfactory.algorithm": Str = none, any, fixed, no_effect(ZK);
        "Key factory for those passwords."
    "password.encoder.cipher.algorithm": Str = "AES/CBC/PKCS5Padding", any, fixed, no_effect(ZK);
        "Cipher of those passwords."
    "password.encoder.key.length": Int = "128", at_least(8), fixed, no_effect(ZK);
        "Key length of those passwords."
    "password.encoder.iterations": Int = "4096", at_least(1024), fixed, no_effect(ZK);
        "Iterations for those passwords."
}
