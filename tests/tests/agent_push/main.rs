//! What the agent pushes and writes for others to scrape, judged by the real Pushgateway, `node_exporter` and `promtool`.
#![cfg(test)]

mod at_work;
mod away;
mod gateway;
mod group;
mod harness;
mod textfile;
