//! What every column of the CSVs means, with its unit. `results/README.md` shows the same.

use super::table::{Column, Layout};

/// Columns of `outcomes.csv` that every version has, and one among them that came later.
const FIRST_OUTCOMES: (usize, &str) = (33, "inputs_per_ciphertext");
/// Columns of the files on leakage that every version has.
const FIRST_LEAKAGE: usize = 36;

/// `samples.csv`.
pub const SAMPLES_LAYOUT: Layout = Layout::of(&SAMPLES);
/// `outcomes.csv`.
pub const OUTCOMES_LAYOUT: Layout = Layout::since(&OUTCOMES, FIRST_OUTCOMES.0, FIRST_OUTCOMES.1).without("row_id", &RERANDOMISATION);

/// A column of earlier versions, behind `row_id`; now a pair in `parameters`.
const RERANDOMISATION: Column = text("rerandomisation", "the server's way to re-randomise results");
/// `curve.csv`.
pub const CURVE_LAYOUT: Layout = Layout::of(&CURVE);
/// `operations.csv`.
pub const OPERATIONS_LAYOUT: Layout = Layout::of(&OPERATIONS);
/// The files of experiments on leakage.
pub const LEAKAGE_LAYOUT: Layout = Layout::since(&LEAKAGE, FIRST_LEAKAGE, "");

pub(crate) const fn text(name: &'static str, meaning: &'static str) -> Column {
    Column { name, kind: "text", unit: "", meaning }
}

pub(crate) const fn integer(name: &'static str, unit: &'static str, meaning: &'static str) -> Column {
    Column { name, kind: "integer", unit, meaning }
}

pub(crate) const fn decimal(name: &'static str, unit: &'static str, meaning: &'static str) -> Column {
    Column { name, kind: "decimal", unit, meaning }
}

pub(crate) const fn truth(name: &'static str, meaning: &'static str) -> Column {
    Column { name, kind: "true/false", unit: "", meaning }
}

const SPEC: Column = text("spec", "everything that was asked for, in one line; joins the files together with run_id");
const WORKLOAD: Column = text("workload", "what is computed: inference, training");
const SCHEME: Column = text("scheme", "how the data is protected: clear (not at all), paillier, smlp (two servers over Paillier)");
const BACKEND: Column = text(
    "backend",
    "what does the arithmetic; native where nothing is encrypted; simulated for integers in the clear that an encrypted row is compared with",
);
const DATASET: Column =
    text("dataset", "mnist, digits or other:FOLDER; of trainings also xor, parity-K, mnist-heldout (the last 10,000 training images as test set)");
const FEATURES: Column =
    text("features", "public feature map, computed in clear by the owner of the image: pixels, gradients; bits of binary records");
const KEY_BITS: Column = integer("key_bits", "bits", "length of the modulus n; empty where nothing is encrypted. Under 2048: a toy");
const METHOD: Column = text(
    "method",
    "plan of the encrypted product as it was run; float or integer where nothing is encrypted; of smlp how signs are compared: blinded, exact, or simulated",
);
const ENCRYPTION: Column =
    text("encryption", "how the owner makes randomisers: owner, djn, standard; none where nothing is encrypted (empty in older versions)");
const PACKING: Column = integer("packing", "images", "images that share a ciphertext; of smlp, numbers that do");
const SCENARIO: Column = text("scenario", "offline (full batches: throughput) or single (one image at a time: latency)");
const DIVISION: Column = text(
    "division",
    "closed: every pixel encrypted, fresh randomness for every ciphertext, nothing cached between samples; open: anything else, as gradients",
);
const RUN_ID: Column = text("run_id", "the process that measured the row; run.toml says where it ran");
const REVISION: Column = text("revision", "commit of the program; -dirty where the source differed from it; unknown where there was none");
const ADAPTER: Column = text("adapter", "device that did the arithmetic");

/// The columns of `samples.csv`, in order: one row per stage of a batch, or per setup stage.
pub const SAMPLES: [Column; 23] = [
    SPEC,
    WORKLOAD,
    SCHEME,
    BACKEND,
    DATASET,
    FEATURES,
    KEY_BITS,
    METHOD,
    ENCRYPTION,
    PACKING,
    SCENARIO,
    DIVISION,
    text("stage", "keygen, prepare, encode, encrypt, upload, evaluate, download, exchange, decrypt, decode"),
    text("phase", "setup (once per key and model), offline (before the input is known), online (from input to answer)"),
    integer("sample", "", "number of the batch, from 0; 0 for setup"),
    integer("items", "images", "images of the batch; all images for setup"),
    integer("wall_ns", "ns", "wall time of the stage on the batch"),
    integer("cpu_ns", "ns", "processor time of all threads of the process meanwhile"),
    integer("device_ns", "ns", "time of the device's kernels in the stage, by its own clock; empty where it has none or nothing ran there"),
    RUN_ID,
    REVISION,
    text("cpu", "processor model"),
    ADAPTER,
];

/// The columns of `outcomes.csv`, in order: one row per spec.
pub const OUTCOMES: [Column; 52] = [
    SPEC,
    WORKLOAD,
    SCHEME,
    BACKEND,
    DATASET,
    FEATURES,
    KEY_BITS,
    METHOD,
    ENCRYPTION,
    PACKING,
    integer("inputs_per_ciphertext", "", "inputs of one image that share a ciphertext"),
    integer("slot_bits", "bits", "width that holds every input and result, sign included; empty in f32"),
    integer("feature_bits", "bits", "width of a feature; empty in f32"),
    integer("weight_bits", "bits", "width of a weight, sign included; empty in f32"),
    SCENARIO,
    DIVISION,
    integer("threads", "", "threads of the pool"),
    integer("images", "images", "images classified, from the start of the test set; of a training the records that it learns from"),
    decimal("accuracy", "share", "images classified as labelled, 0 to 1"),
    decimal("agreement", "share", "images classified as the quantised plaintext model does, 0 to 1"),
    truth(
        "verified",
        "every logit equals the quantised plaintext model's (f32: every class is the collapsed map's but for rounding); of smlp: every parameter or class under \
         encryption equals the simulator's, and no number of the simulator left its bounds (float: it ended)",
    ),
    integer("products", "", "modular products of one encrypted matrix-vector product; empty in the clear"),
    integer("bytes_up", "bytes", "to the server, all images once; of smlp from P1 to P2, all mini-batches"),
    integer("bytes_down", "bytes", "back, all images once; of smlp from P2 to P1"),
    integer("rounds", "", "messages to the server and back, all images once"),
    integer(
        "peak_rss_bytes",
        "bytes",
        "largest resident memory of the process while the row ran; an upper bound where the system does not let the peak begin anew",
    ),
    integer("security_bits", "bits", "estimated strength of the key by NIST SP 800-57; empty in the clear"),
    text(
        "digest",
        "16 hexadecimal digits of the SHA-256 of all result ciphertexts; equal on every backend for equal seeds and batches; empty in the clear. Of a training, of its \
         final parameters: equal under encryption and in the simulator",
    ),
    ADAPTER,
    text("adapter_type", "cpu, gpu or software (a GPU interface run by the processor)"),
    text("error", "why there is no result; empty where there is one"),
    RUN_ID,
    REVISION,
    text("row_id", "16 hexadecimal digits: identity of the row by what defines it, the program and the number of threads"),
    integer("batch", "images", "images worked on at once; records of a mini-batch"),
    integer("samples", "", "batches whose times were kept: full ones, after the warm-up"),
    integer("timed_images", "images", "images of those batches; images that were repeated count again"),
    integer("batches_ns", "ns", "wall time of those batches, harness between stages included; minus the stages' wall_ns it is the harness' own time"),
    integer(
        "energy_uj",
        "microjoules",
        "energy of processor packages and memory in that time, the whole machine; empty where it cannot be read, never 0",
    ),
    integer("key_bytes", "bytes", "the modulus n; empty where nothing is encrypted"),
    integer("ciphertext_bytes", "bytes", "one ciphertext on the wire; empty where nothing is encrypted"),
    integer("row_ns", "ns", "wall time of the row with setup, warm-up and checks"),
    integer("others_cpu_ns", "ns", "processor time of other processes of the machine while the row ran; empty where it cannot be read"),
    integer("stolen_cpu_ns", "ns", "processor time that the host of a virtual machine took away while the row ran; empty where it cannot be read"),
    integer("frequency_start_khz", "kHz", "mean clock frequency of the processors when the row began; empty where it cannot be read"),
    integer("frequency_end_khz", "kHz", "the same when it ended"),
    text("compiler", "compiler of the program"),
    truth("publishable", "known clean revision, known compiler, optimised build, no toy key, verified; run.toml says why not"),
    decimal(
        "bound_products_per_second",
        "1/s",
        "products of the plan that the multipliers of the row's threads could do in a second if they did nothing else; measured beside the row; empty where the backend's multiplications are not known",
    ),
    text("dataset_sha256", "64 hexadecimal digits: SHA-256 of the uncompressed file that the test images are in; empty where it is unknown"),
    text("model_sha256", "64 hexadecimal digits: SHA-256 of the model's file; empty where it is unknown, and of a training"),
    text("parameters", "choices of the scheme that have no column of their own, as key=value, sorted, a space between (empty in older versions)"),
];

/// The columns of `curve.csv`, in order: one row per point of a training.
pub const CURVE: [Column; 8] = [
    SPEC,
    decimal("epoch", "", "passes over the records so far"),
    integer("step", "", "mini-batches so far; 0: the initial parameters"),
    decimal("loss", "", "mean over the training records of the squared error, summed over the outputs"),
    decimal("train_accuracy", "share", "training records classified as labelled, 0 to 1; the first 10,000 where there are more"),
    decimal("test_accuracy", "share", "test records classified as labelled, 0 to 1"),
    RUN_ID,
    REVISION,
];

/// The columns of `operations.csv`, in order: one row per operation and party.
pub const OPERATIONS: [Column; 12] = [
    SPEC,
    text(
        "operation",
        "forward product, backward product, gradient product, division, comparison, selection, argmax, upload; local: what needs no message",
    ),
    text("party", "p1 (ciphertexts, public key) or p2 (secret key)"),
    integer("calls", "", "how often it ran in all mini-batches or groups"),
    integer("values", "", "numbers that came out of it"),
    integer("rounds", "", "messages to P2 and back; entered at p1"),
    integer("bytes_up", "bytes", "from P1 to P2; entered at p1"),
    integer("bytes_down", "bytes", "from P2 to P1; entered at p1"),
    integer("wall_ns", "ns", "wall time of the party's part; both parties ran in one process, one after the other"),
    integer("cpu_ns", "ns", "processor time of all threads meanwhile"),
    RUN_ID,
    REVISION,
];

/// The columns of `eivhe-training.csv`, `eivhe-attack.csv` and `eivhe-leakage.csv`, in order: one row per setting, network and seed.
pub const LEAKAGE: [Column; 37] = [
    text("sweep", "what is varied along the rows that belong together"),
    text("setting", "how the images are protected: clear (not at all), integers-fixed, integers-fresh, absolute, modular-fixed, modular-fresh, lwe"),
    text("dataset", "mnist or digits; empty where no image is involved"),
    text("network", "what learns: softmax, mlp, conv; empty where nothing does"),
    integer("seed", "", "seed of key, encryption and training"),
    integer("dimension", "", "numbers of a plaintext"),
    integer("key_columns", "", "numbers of a ciphertext beyond those of the plaintext; empty in the clear"),
    integer("a_bound", "", "entries of the public A are below this; empty where they are uniform modulo q"),
    integer("e_bound", "", "bound of the noise E; empty in the clear"),
    integer("t_bound", "", "bound of the entries of the key T; empty in the clear"),
    integer("w_bits", "bits", "size of the factor w that lifts a plaintext above the noise"),
    integer("q_bits", "bits", "size of the modulus; empty over the integers"),
    integer("training_images", "images", "learnt from, labels in clear; empty where nothing learns"),
    integer("test_images", "images", "classified, or decrypted by the attack"),
    integer("epochs", "", "passes over the training images"),
    integer("inputs", "", "coordinates of a ciphertext that the network sees"),
    decimal("training_accuracy", "share", "training images classified as labelled during the last pass, 0 to 1"),
    decimal("accuracy", "share", "test images classified as labelled, 0 to 1: what was learnt from ciphertexts is what they leak"),
    decimal("owner_decrypts", "share", "test images that the owner of the key decrypts to the last pixel"),
    integer("key_entries", "", "entries of the key that the attack is after; empty where nothing is attacked"),
    decimal("key_rounded", "share", "of them exact as least squares rounds them"),
    decimal("key_recovered", "share", "of them exact after corrections that need no key"),
    decimal(
        "key_consistent",
        "share",
        "rows of the key whose residuals all lie in the range of the noise: with thousands of columns only the true row's do",
    ),
    decimal("images_recovered", "share", "test images that the attack decrypts to the last pixel with the key that it found"),
    decimal("images_without_key", "share", "test images read off the ciphertexts to the last pixel, with nothing but the published bounds"),
    integer("attack_samples", "", "equations of the attack: columns of the public matrix, or images that are taken to be known"),
    integer("keygen_ns", "ns", "wall time of key and public matrix"),
    integer("encrypt_ns", "ns", "wall time of the encryption of all images"),
    integer("train_ns", "ns", "wall time of scaling and training"),
    integer("attack_ns", "ns", "wall time of the attack up to the key"),
    integer("ciphertext_bytes", "bytes", "one ciphertext, each coordinate in the fewest whole bytes"),
    text("unsound", "why the setting is no protection; empty where nothing is known against it"),
    integer("threads", "", "threads of the pool"),
    text("cpu", "processor model"),
    RUN_ID,
    REVISION,
    text("dataset_sha256", "64 hexadecimal digits: SHA-256 of the uncompressed file that the test images are in; empty where no image is involved"),
];

/// The columns of one file as a table in Markdown.
#[must_use]
pub fn markdown(columns: &[Column]) -> String {
    let rows = columns.iter().map(|c| format!("| `{}` | {} | {} | {} |\n", c.name, c.kind, c.unit, c.meaning));
    format!("| column | kind | unit | meaning |\n|---|---|---|---|\n{}", rows.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::leakage::Leak;
    use crate::record::{CurvePoint, Operation, Outcome, Sample};

    fn header(row: impl serde::Serialize) -> Vec<String> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.serialize(row).unwrap();
        let text = String::from_utf8(writer.into_inner().unwrap()).unwrap();
        text.lines().next().unwrap().split(',').map(Into::into).collect()
    }

    #[test]
    fn every_column_is_explained_in_its_place() {
        let outcome = Outcome::default();
        assert_eq!(header(Sample::blank(&outcome, "")), SAMPLES.map(|c| c.name));
        assert_eq!(header(outcome), OUTCOMES.map(|c| c.name));
        assert_eq!(header(Leak::default()), LEAKAGE.map(|c| c.name));
        let text = String::new;
        let point =
            CurvePoint { spec: text(), epoch: 0.0, step: 0, loss: 0.0, train_accuracy: 0.0, test_accuracy: 0.0, run_id: text(), revision: text() };
        assert_eq!(header(point), CURVE.map(|c| c.name));
        let (spec, operation, party, run_id, revision) = (text(), text(), text(), text(), text());
        let (calls, values, rounds, bytes_up, bytes_down, wall_ns, cpu_ns) = (0, 0, 0, 0, 0, 0, 0);
        let cost = Operation { spec, operation, party, calls, values, rounds, bytes_up, bytes_down, wall_ns, cpu_ns, run_id, revision };
        assert_eq!(header(cost), OPERATIONS.map(|c| c.name));
        for column in SAMPLES.iter().chain(&OUTCOMES).chain(&CURVE).chain(&OPERATIONS).chain(&LEAKAGE) {
            assert!(!column.meaning.is_empty() && !column.meaning.contains('|'), "{column:?}");
            for (ending, unit) in [("_ns", "ns"), ("_bytes", "bytes"), ("_bits", "bits"), ("_khz", "kHz"), ("_uj", "microjoules")] {
                assert!(!column.name.ends_with(ending) || column.unit == unit, "{column:?}");
            }
        }
    }

    /// `CIPHERLANE_WRITE=1 cargo test --lib columns` writes the page anew.
    #[test]
    fn the_page_on_results_shows_the_columns() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("results/README.md");
        let Ok(page) = std::fs::read_to_string(&path) else { return };
        let mut wanted = page.clone();
        let documented = [
            ("samples", &SAMPLES[..]),
            ("outcomes", &OUTCOMES[..]),
            ("curve", &CURVE[..]),
            ("operations", &OPERATIONS[..]),
            ("leakage", &LEAKAGE[..]),
        ];
        for (name, columns) in documented {
            let (begin, end) = (format!("<!-- columns:{name} -->\n"), format!("<!-- end:{name} -->"));
            let (before, rest) = wanted.split_once(&begin).unwrap();
            let (_, after) = rest.split_once(&end).unwrap();
            wanted = format!("{before}{begin}{}{end}{after}", markdown(columns));
        }
        if std::env::var_os("CIPHERLANE_WRITE").is_some() {
            std::fs::write(&path, &wanted).unwrap();
        } else {
            assert_eq!(page, wanted, "results/README.md is behind src/record/columns.rs");
        }
    }
}
