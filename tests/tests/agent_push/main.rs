//! The agent's pushes and its file for scrapers, checked with the real Pushgateway, `node_exporter` and `promtool`.
#![cfg(test)]

mod at_work;
mod away;
mod gateway;
mod group;
mod harness;
mod textfile;
