//! What every column of the CSVs means, with its unit. `results/README.md` shows the same.

/// A column of a CSV.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name in the header.
    pub name: &'static str,
    /// `text`, `integer`, `decimal` or `true/false`.
    pub kind: &'static str,
    /// Unit of a number; empty for text and for plain counts.
    pub unit: &'static str,
    /// What it says, and when it is empty.
    pub meaning: &'static str,
}

const fn text(name: &'static str, meaning: &'static str) -> Column {
    Column { name, kind: "text", unit: "", meaning }
}

const fn integer(name: &'static str, unit: &'static str, meaning: &'static str) -> Column {
    Column { name, kind: "integer", unit, meaning }
}

const fn decimal(name: &'static str, unit: &'static str, meaning: &'static str) -> Column {
    Column { name, kind: "decimal", unit, meaning }
}

const fn truth(name: &'static str, meaning: &'static str) -> Column {
    Column { name, kind: "true/false", unit: "", meaning }
}

const SPEC: Column = text("spec", "everything that was asked for, in one line; joins the two files together with run_id");
const WORKLOAD: Column = text("workload", "what is computed: inference");
const SCHEME: Column = text("scheme", "how the data is protected: clear (not at all), paillier");
const BACKEND: Column = text("backend", "what does the arithmetic; native where nothing is encrypted");
const DATASET: Column = text("dataset", "mnist, digits or other:FOLDER");
const FEATURES: Column = text("features", "public feature map, computed in clear by the owner of the image: pixels, gradients");
const KEY_BITS: Column = integer("key_bits", "bits", "length of the modulus n; empty where nothing is encrypted. Under 2048: a toy");
const METHOD: Column = text("method", "plan of the encrypted product as it was run; float or integer where nothing is encrypted");
const ENCRYPTION: Column =
    text("encryption", "how the owner makes randomisers: owner, djn, standard; none where nothing is encrypted (empty in older versions)");
const PACKING: Column = integer("packing", "images", "images that share a ciphertext");
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
    integer("device_ns", "ns", "time by the device's own clock; empty where it has none"),
    RUN_ID,
    REVISION,
    text("cpu", "processor model"),
    ADAPTER,
];

/// The columns of `outcomes.csv`, in order: one row per spec.
pub const OUTCOMES: [Column; 50] = [
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
    integer("images", "images", "images classified, from the start of the test set"),
    decimal("accuracy", "share", "images classified as labelled, 0 to 1"),
    decimal("agreement", "share", "images classified as the quantised plaintext model does, 0 to 1"),
    truth("verified", "every logit equals the quantised plaintext model's (f32: every class is the collapsed map's but for rounding)"),
    integer("products", "", "modular products of one encrypted matrix-vector product; empty in the clear"),
    integer("bytes_up", "bytes", "to the server, all images once"),
    integer("bytes_down", "bytes", "back, all images once"),
    integer("rounds", "", "messages to the server and back, all images once"),
    integer(
        "peak_rss_bytes",
        "bytes",
        "largest resident memory of the process while the row ran; an upper bound where the system does not let the peak begin anew",
    ),
    integer("security_bits", "bits", "estimated strength of the key by NIST SP 800-57; empty in the clear"),
    text(
        "digest",
        "16 hexadecimal digits of the SHA-256 of all result ciphertexts; equal on every backend for equal seeds and batches; empty in the clear",
    ),
    ADAPTER,
    text("adapter_type", "cpu, gpu or software (a GPU interface run by the processor)"),
    text("error", "why there is no result; empty where there is one"),
    RUN_ID,
    REVISION,
    text("row_id", "16 hexadecimal digits: identity of the row by what defines it, the program and the number of threads"),
    text("rerandomisation", "how the server re-randomises results: auto, bases, standard; none where nothing is encrypted"),
    integer("batch", "images", "images worked on at once"),
    integer("samples", "", "batches whose times were kept, after the warm-up"),
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
    use crate::record::{Outcome, Sample};

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
        for column in SAMPLES.iter().chain(&OUTCOMES) {
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
        for (name, columns) in [("samples", &SAMPLES[..]), ("outcomes", &OUTCOMES[..])] {
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
