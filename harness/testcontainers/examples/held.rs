//! Brokers in containers for whoever runs this program: their address is printed, and they live until the standard
//! input is closed. Of this crate: `broker IMAGE`, `cluster IMAGE`, `refused IMAGE`; of testcontainers-modules, as it
//! is: `native`, `jvm`.

use jackdaw_testcontainers::testcontainers::runners::AsyncRunner as _;
use jackdaw_testcontainers::{Broker, CLIENTS, Cluster};
use std::error::Error;
use testcontainers_modules::kafka::apache::{KAFKA_PORT, Kafka};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["broker", image] => {
            let broker = Broker::default().image(image).start().await?;
            until_closed(&format!("127.0.0.1:{}", broker.get_host_port_ipv4(CLIENTS).await?))?;
            broker.rm().await?;
        }
        ["cluster", image] => {
            let cluster = Cluster::builder().brokers(3).image(image).start().await?;
            until_closed(cluster.bootstrap_servers())?;
        }
        ["refused", image] => {
            let cluster = Cluster::builder().image(image).setting("num.partitions", "many").start().await;
            let refused = cluster.err().ok_or("it started")?;
            until_closed(&refused.to_string().replace('\n', " "))?;
        }
        ["native"] => of_the_module(Kafka::default()).await?,
        ["jvm"] => of_the_module(Kafka::default().with_jvm_image()).await?,
        _ => return Err("broker IMAGE, cluster IMAGE, refused IMAGE, native or jvm?".into()),
    }
    Ok(())
}

async fn of_the_module(image: Kafka) -> Result<(), Box<dyn Error>> {
    let broker = image.start().await?;
    until_closed(&format!("127.0.0.1:{}", broker.get_host_port_ipv4(KAFKA_PORT).await?))?;
    Ok(broker.rm().await?)
}

fn until_closed(servers: &str) -> std::io::Result<u64> {
    println!("bootstrap.servers={servers}");
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())
}
