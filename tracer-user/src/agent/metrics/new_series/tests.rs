//! Simulated scrapers of a counter that appears with its first build.

use prometheus::core::Collector as _;
use prometheus::{IntCounterVec, Opts};

use super::*;

const FAMILY: &str = "builds_total";

/// A scraper: its identity, and the times of its pages.
struct Simulated {
    id: u64,
    is_scraper: bool,
    first: Duration,
    interval: Duration,
}

fn scraper(id: u64, first: u64, interval: u64) -> Simulated {
    Simulated {
        id,
        is_scraper: true,
        first: Duration::from_millis(first),
        interval: Duration::from_millis(interval),
    }
}

/// The values that each scraper reads until `end`, in milliseconds. The builds of one project end at these times.
fn simulate(scrapers: &[Simulated], builds: &[u64], end: u64) -> Vec<Vec<f64>> {
    let end = Duration::from_millis(end);
    let mut pages: Vec<(Duration, usize)> = Vec::new();
    for (n, it) in scrapers.iter().enumerate() {
        let mut at = it.first;
        // The real times differ by up to 20 ms.
        let mut late = 0;
        while at < end {
            late = (late * 7 + 3) % 20;
            pages.push((at + Duration::from_millis(late), n));
            at += it.interval;
        }
    }
    pages.sort();
    let family = IntCounterVec::new(Opts::new(FAMILY, "n"), &["project"]).unwrap();
    let mut new = NewCounters::default();
    let mut builds = builds
        .iter()
        .map(|it| Duration::from_millis(*it))
        .peekable();
    let mut is_known = false;
    let mut values = vec![Vec::new(); scrapers.len()];
    for (at, n) in pages {
        let mut appeared = Vec::new();
        while builds.next_if(|it| *it <= at).is_some() {
            family.with_label_values(&["p"]).inc();
            if !std::mem::replace(&mut is_known, true) {
                appeared.push(NewSeries {
                    family: FAMILY,
                    labels: vec![("project".to_owned(), "p".to_owned())],
                });
            }
        }
        let mut families = family.collect();
        let Simulated { id, is_scraper, .. } = scrapers[n];
        let id = ClientId(id);
        new.hide(
            &mut families,
            appeared,
            Reader::Client { id, is_scraper, at },
        );
        let counters = families.iter().flat_map(MetricFamily::get_metric);
        values[n].extend(counters.map(|it| it.get_counter().get_value()));
    }
    values
}

/// Every scraper reads 0 first, never a decrease, and at last all builds.
fn check(scrapers: &[Simulated], builds: &[u64], end: u64) {
    for values in simulate(scrapers, builds, end) {
        assert_eq!(values.first(), Some(&0.0), "{values:?}");
        assert!(values.is_sorted(), "{values:?}");
        let all = u32::try_from(builds.len()).unwrap();
        assert_eq!(values.last(), Some(&f64::from(all)), "{values:?}");
    }
}

#[test]
fn a_scraper_with_a_new_address_reads_no_lower_value() {
    // The second one is the first one after a change of its address.
    let scrapers = [scraper(1, 0, 15_000), scraper(2, 70_000, 15_000)];
    let values = simulate(&scrapers, &[20_000], 120_000);
    assert_eq!(values[0][4..6], [1.0, 1.0]);
    assert_eq!(values[1][..1], [1.0]);
}

#[test]
fn a_single_scraper_reads_zero_and_soon_the_first_build() {
    let values = simulate(&[scraper(1, 0, 15_000)], &[50_000], 130_000);
    assert_eq!(values, [[0.0, 0.0, 1.0, 1.0, 1.0]]);
}

#[test]
fn scrapers_at_different_addresses_do_not_wait_for_each_other() {
    let scrapers = [scraper(1, 0, 15_000), scraper(2, 4_000, 60_000)];
    let values = simulate(&scrapers, &[125_000], 310_000);
    assert_eq!(&values[0][..4], [0.0, 0.0, 1.0, 1.0]);
    assert_eq!(values[1], [0.0, 0.0, 1.0]);
}

#[test]
fn two_scrapers_at_one_address_both_read_zero_first() {
    for interval in [1_000, 15_000, 60_000] {
        for offset in 1..20 {
            for build in 0..20 {
                let scrapers = [
                    scraper(1, 0, interval),
                    scraper(1, interval * offset / 20, interval),
                ];
                let first = interval * (100 + build) / 20;
                check(
                    &scrapers,
                    &[first, first + 10, first + interval],
                    15 * interval,
                );
            }
        }
    }
}

#[test]
fn the_first_scrape_of_a_scraper_has_zero_and_that_of_a_person_the_real_value() {
    check(&[scraper(1, 5_000, 15_000)], &[1_000], 100_000);
    let person = Simulated {
        is_scraper: false,
        ..scraper(1, 5_000, 2_000)
    };
    let values = simulate(&[person], &[1_000], 30_000);
    assert!(values[0].iter().all(|it| *it >= 1.0), "{values:?}");
}

#[test]
fn a_client_becomes_a_scraper_with_its_second_page() {
    let client = Simulated {
        is_scraper: false,
        ..scraper(1, 0, 2_000)
    };
    check(&[client], &[500], 20_000);
}

#[test]
fn a_pause_of_the_scraper_takes_no_value_back() {
    let mut new = NewCounters::default();
    let family = IntCounterVec::new(Opts::new(FAMILY, "n"), &["project"]).unwrap();
    family.with_label_values(&["p"]).inc();
    let mut series = vec![NewSeries {
        family: FAMILY,
        labels: vec![("project".to_owned(), "p".to_owned())],
    }];
    let mut last = 0.0;
    for at in [0, 1, 2, 3, 4, 40, 41, 110, 111] {
        let mut families = family.collect();
        let reader = Reader::Client {
            id: ClientId(1),
            is_scraper: true,
            at: Duration::from_secs(at),
        };
        new.hide(&mut families, std::mem::take(&mut series), reader);
        let value = families[0].get_metric()[0].get_counter().get_value();
        assert!(value >= last, "{at}");
        last = value;
    }
    assert!(last > 0.5);
}

#[test]
fn a_file_has_zero_for_two_minutes_and_the_real_value_at_the_end() {
    let family = IntCounterVec::new(Opts::new(FAMILY, "n"), &["project"]).unwrap();
    family.with_label_values(&["p"]).inc();
    let series = || {
        vec![NewSeries {
            family: FAMILY,
            labels: vec![("project".to_owned(), "p".to_owned())],
        }]
    };
    let value = |new: &mut NewCounters, series, at, is_last| {
        let mut families = family.collect();
        let at = Duration::from_secs(at);
        new.hide(&mut families, series, Reader::File { at, is_last });
        families[0].get_metric()[0].get_counter().get_value() > 0.5
    };
    let mut new = NewCounters::default();
    assert!(!value(&mut new, series(), 1000, false));
    assert!(!value(&mut new, Vec::new(), 1119, false));
    assert!(value(&mut new, Vec::new(), 1120, false));
    let mut new = NewCounters::default();
    assert!(!value(&mut new, series(), 0, false));
    assert!(value(&mut new, Vec::new(), 15, true));
    // The file of a new configuration takes nothing back.
    assert!(value(&mut new, Vec::new(), 16, false));
}

#[test]
fn the_otlp_receiver_reads_zero_once() {
    let family = IntCounterVec::new(Opts::new(FAMILY, "n"), &["project"]).unwrap();
    family.with_label_values(&["p"]).inc();
    let mut new = NewCounters::default();
    let mut series = vec![NewSeries {
        family: FAMILY,
        labels: vec![("project".to_owned(), "p".to_owned())],
    }];
    let values = [60, 120].map(|at| {
        let mut families = family.collect();
        let at = Duration::from_secs(at);
        let reader = Reader::Otlp { at, is_last: false };
        new.hide(&mut families, std::mem::take(&mut series), reader);
        families[0].get_metric()[0].get_counter().get_value()
    });
    assert_eq!(values.to_vec(), [0.0, 1.0]);
}

#[test]
fn a_flood_of_clients_takes_no_value_back() {
    let mut scrapers: Vec<Simulated> = (0..200).map(|n| scraper(n, n, 400_000)).collect();
    scrapers.push(scraper(1000, 300, 10_000));
    let values = simulate(&scrapers, &[250], 800_000);
    let last = values.last().unwrap();
    assert!(last.is_sorted() && last.last() == Some(&1.0), "{last:?}");
    let mut new = NewCounters::default();
    for n in 0..1000 {
        let at = Duration::from_millis(n);
        let id = ClientId(n);
        let is_scraper = true;
        new.hide(&mut [], Vec::new(), Reader::Client { id, is_scraper, at });
    }
    assert_eq!(new.readers.len(), READERS);
}
