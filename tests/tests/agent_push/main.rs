//! The agent's pushes and its file for scrapers, checked with the real Pushgateway, `node_exporter` and `promtool`.
#![cfg(test)]

mod gateway;
mod group;
mod harness;
mod outage;
mod real_agent;
mod textfile;
