//! Made-up records for the tests of tables and figures. The times are plausible, none is measured.

use crate::record::{Outcome, Phase, Records, Sample, Stage};

/// A spec and what it is made to cost.
#[derive(Clone)]
pub struct Case {
    pub scheme: &'static str,
    pub backend: &'static str,
    pub method: &'static str,
    pub encryption: &'static str,
    pub key_bits: Option<u32>,
    pub packing: u32,
    pub dataset: &'static str,
    pub features: &'static str,
    pub images: u32,
    pub accuracy: f64,
    /// Images per second over all online stages.
    pub speed: f64,
    /// Shares of encode, encrypt, evaluate, decrypt, decode.
    pub shares: [f64; 5],
    pub samples: u32,
}

impl Case {
    pub fn clear(method: &'static str, speed: f64) -> Self {
        Self {
            scheme: "clear",
            backend: "cpu",
            method,
            encryption: "",
            key_bits: None,
            packing: 1,
            dataset: "mnist",
            features: "pixels",
            images: 10_000,
            accuracy: 0.9213,
            speed,
            shares: [0.1, 0.0, 0.85, 0.0, 0.05],
            samples: 5,
        }
    }

    pub fn paillier(backend: &'static str, method: &'static str, key_bits: u32, speed: f64) -> Self {
        Self {
            scheme: "paillier",
            backend,
            method,
            encryption: "owner",
            key_bits: Some(key_bits),
            packing: key_bits / 26,
            accuracy: 0.9208,
            shares: if method == "naive" { [0.002, 0.08, 0.9, 0.017, 0.001] } else { [0.01, 0.55, 0.38, 0.05, 0.01] },
            ..Self::clear(method, speed)
        }
    }

    pub fn outcome(&self) -> Outcome {
        let clear = self.scheme == "clear";
        Outcome {
            spec: format!(
                "inference {} {} {} {} {} {:?} {} {}",
                self.dataset, self.features, self.scheme, self.backend, self.method, self.key_bits, self.encryption, self.packing
            ),
            workload: "inference".into(),
            scheme: self.scheme.into(),
            backend: self.backend.into(),
            dataset: self.dataset.into(),
            features: self.features.into(),
            key_bits: self.key_bits,
            method: self.method.into(),
            encryption: self.encryption.into(),
            packing: self.packing,
            inputs_per_ciphertext: None,
            slot_bits: (!clear).then_some(26),
            feature_bits: Some(8),
            weight_bits: Some(8),
            scenario: "offline".into(),
            division: "closed".into(),
            threads: 16,
            images: self.images,
            accuracy: Some(self.accuracy),
            agreement: Some(1.0),
            verified: true,
            products: None,
            bytes_up: if clear { 0 } else { u64::from(self.images) * 5147 },
            bytes_down: if clear { 0 } else { u64::from(self.images) * 66 },
            rounds: 1,
            peak_rss_bytes: None,
            security_bits: self.key_bits.map(|_| 112),
            digest: None,
            adapter: "made-up processor".into(),
            adapter_type: "cpu".into(),
            error: None,
            run_id: "20250102-030405".into(),
            revision: "0123abc".into(),
            ..Outcome::default()
        }
    }

    fn samples(&self) -> Vec<Sample> {
        let o = self.outcome();
        let stages = [Stage::Encode, Stage::Encrypt, Stage::Evaluate, Stage::Decrypt, Stage::Decode];
        let row = |stage, phase, sample: u32, items: u32, ns: f64| Sample {
            stage,
            phase,
            sample,
            items,
            wall_ns: ns as u64,
            cpu_ns: (ns * 8.0) as u64,
            ..Sample::blank(&o, "Made-up Processor 9000 at 2.0 GHz")
        };
        let mut rows = Vec::new();
        if self.scheme != "clear" {
            rows.push(row(Stage::Keygen, Phase::Setup, 0, 1, 2.5e8));
        }
        for sample in 0..self.samples {
            // Samples lie up to a tenth to either side of the speed.
            let jitter = 1.0 + 0.1 * (f64::from(sample) / f64::from((self.samples - 1).max(1)) - 0.5) * 2.0;
            let items = 100;
            for (stage, share) in stages.into_iter().zip(self.shares).filter(|(_, share)| *share > 0.0) {
                rows.push(row(stage, Phase::Online, sample, items, 1e9 / self.speed * f64::from(items) * share * jitter));
            }
        }
        rows
    }
}

/// The records of some cases.
pub fn records(cases: &[Case]) -> Records {
    Records { samples: cases.iter().flat_map(Case::samples).collect(), outcomes: cases.iter().map(Case::outcome).collect(), ..Records::default() }
}

/// Four backends, two plaintext baselines, one key size.
pub fn one_key() -> Vec<Case> {
    vec![
        Case::clear("float", 1.0e6),
        Case { accuracy: 0.9208, ..Case::clear("quantised", 6.1e5) },
        Case { images: 100, accuracy: 0.93, samples: 1, ..Case::paillier("reference", "naive", 2048, 0.5) },
        Case::paillier("gmp", "naive", 2048, 3.0),
        Case::paillier("gmp", "straus", 2048, 21.0),
        Case::paillier("gmp", "buckets", 2048, 30.0),
        Case::paillier("ifma", "buckets", 2048, 210.0),
        Case { shares: [0.01, 0.2, 0.6, 0.18, 0.01], ..Case::paillier("gpu", "buckets", 2048, 870.0) },
    ]
}

/// Key sizes by backends by methods, with both baselines.
pub fn many_keys() -> Vec<Case> {
    let mut cases = vec![Case::clear("float", 1.0e6), Case { accuracy: 0.9208, ..Case::clear("quantised", 6.1e5) }];
    for key_bits in [1024, 1536, 2048, 3072, 4096] {
        let slower = (f64::from(key_bits) / 2048.0).powf(2.6);
        for (backend, speed) in [("reference", 1.2), ("gmp", 30.0), ("ifma", 210.0), ("gpu", 870.0)] {
            for (method, factor) in [("buckets", 1.0), ("straus", 0.7), ("naive", 0.1)] {
                cases.push(Case::paillier(backend, method, key_bits, speed * factor / slower));
            }
        }
    }
    cases
}
