//! The standard metrics `process_*` of the agent: the sums over its two processes.

use prometheus::{Counter, Error, Gauge, Registry};

use crate::proc::ProcessUsage;
use crate::render::metrics::family::Spec;
use crate::render::metrics::fold;

const CPU: Spec = of(
    "process_cpu_seconds_total",
    "CPU time of the agent's processes.",
);
const RESIDENT: Spec = of(
    "process_resident_memory_bytes",
    "Resident memory of the agent's processes.",
);
const VIRTUAL: Spec = of(
    "process_virtual_memory_bytes",
    "Virtual memory of the agent's processes.",
);
const THREADS: Spec = of("process_threads", "Threads of the agent's processes.");
const OPEN_FDS: Spec = of(
    "process_open_fds",
    "Open file descriptors of the agent's processes.",
);
const MAX_FDS: Spec = of(
    "process_max_fds",
    "Sum of the limits of open file descriptors of the agent's processes.",
);
const STARTED: Spec = of(
    "process_start_time_seconds",
    "Start time of the agent, in seconds since 1970.",
);

/// All families, for the test of the documentation.
#[cfg(test)]
pub(crate) const ALL: &[&Spec] = &[
    &CPU, &RESIDENT, &VIRTUAL, &THREADS, &OPEN_FDS, &MAX_FDS, &STARTED,
];

const fn of(name: &'static str, help: &'static str) -> Spec {
    Spec {
        name,
        help,
        labels: &[],
        limit: 1,
    }
}

pub(super) struct OfProcess {
    cpu: Counter,
    resident: Gauge,
    virtual_memory: Gauge,
    threads: Gauge,
    open_fds: Gauge,
    max_fds: Gauge,
    started: Gauge,
}

impl OfProcess {
    pub(super) fn register(registry: &Registry) -> Result<Self, Error> {
        let gauge = |spec: &Spec| {
            let gauge = Gauge::with_opts(spec.opts())?;
            registry.register(Box::new(gauge.clone()))?;
            Ok::<_, Error>(gauge)
        };
        let cpu = Counter::with_opts(CPU.opts())?;
        registry.register(Box::new(cpu.clone()))?;
        Ok(Self {
            cpu,
            resident: gauge(&RESIDENT)?,
            virtual_memory: gauge(&VIRTUAL)?,
            threads: gauge(&THREADS)?,
            open_fds: gauge(&OPEN_FDS)?,
            max_fds: gauge(&MAX_FDS)?,
            started: gauge(&STARTED)?,
        })
    }

    pub(super) fn set(
        &self,
        cpu_ns: u64,
        resident_bytes: u64,
        observer: ProcessUsage,
        storage: ProcessUsage,
    ) {
        self.cpu.reset();
        self.cpu.inc_by(fold::seconds(cpu_ns));
        self.resident.set(fold::bytes(resident_bytes));
        for (gauge, one, other) in [
            (
                &self.virtual_memory,
                observer.virtual_bytes,
                storage.virtual_bytes,
            ),
            (&self.threads, observer.threads, storage.threads),
            (&self.open_fds, observer.open_fds, storage.open_fds),
            (&self.max_fds, observer.max_fds, storage.max_fds),
        ] {
            gauge.set(fold::bytes(one.saturating_add(other)));
        }
        self.started.set(fold::seconds(observer.started_ns));
    }
}
