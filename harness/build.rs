//! How the program is linked.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let target = |key: &str| std::env::var(format!("CARGO_CFG_TARGET_{key}")).unwrap_or_default();
    if (target("OS").as_str(), target("ENV").as_str()) == ("linux", "gnu") {
        // At a fixed address: a position-independent program of this size relocates 30,000 pointers at each start,
        // which is a millisecond and a megabyte for every health check and every tool.
        println!("cargo::rustc-link-arg-bins=-no-pie");
    }
}
