use super::*;
use crate::control::Control;
use crate::dataset::Images;
use crate::error::Error;
use crate::model::testdata::digits;
use crate::scheme::eivhe::Draw;
use crate::workload::leakage::{Coordinates, Learner, Scaling};

fn go(_: Progress) {}

fn first(images: &Images, count: usize) -> Images {
    let size = images.rows * images.cols;
    Images { pixels: images.pixels[..count * size].to_vec(), labels: images.labels[..count].to_vec(), ..images.clone() }
}

/// The digits under a setting. Its sound sizes are those of a toy here, so that the test is short: 128 columns in place of 2048.
fn protected(setting: Setting, sizes: Sizes, training: &Images, test: &Images) -> Protected {
    let mut protection = Protection::new(setting, sizes, 64, 16).unwrap();
    if setting == Setting::Lwe {
        protection.parameters.as_mut().unwrap().key_columns = 128;
    }
    protect(training, test, protection, 1, &Control::default(), &mut go).unwrap()
}

fn accuracy(protected: &Protected, training: &Images, test: &Images, learner: Learner) -> f64 {
    learn(protected, (&training.labels, &test.labels), learner, (Some(15), 1), &Control::default(), &mut go).unwrap().accuracy
}

#[test]
fn over_the_integers_ciphertexts_teach_what_plaintexts_do_and_the_key_falls() {
    let (training, test) = digits();
    let clear = protected(Setting::Clear, Sizes::default(), &training, &test);
    for learner in Learner::ALL {
        let plain = accuracy(&clear, &training, &test, learner);
        assert!(plain > 0.87, "{learner}: {plain}");
        for setting in [Setting::IntegersFixed, Setting::IntegersFresh, Setting::Absolute] {
            // The matrix of 64 pixels has few columns: entries of A up to those of E make up for it.
            let protected = protected(setting, Sizes { a_bound: Some(1000), ..Sizes::default() }, &training, &test);
            let own = accuracy(&protected, &training, &test, learner);
            assert!((own - plain).abs() < 0.03, "{setting} {learner}: {own} against {plain}");
            if learner != Learner::Softmax {
                continue;
            }
            let attacked = attack(&protected, &training, &test, &Control::default(), &mut go).unwrap();
            if setting == Setting::Absolute {
                assert!(attacked.is_none() && protected.owner_decrypts.is_none());
                continue;
            }
            let attacked = attacked.unwrap();
            assert!(attacked.recovered >= 0.999, "{setting}: {attacked:?}");
            assert_eq!((protected.owner_decrypts, attacked.images, attacked.without_key), (Some(1.0), Some(1.0), Some(1.0)), "{setting}");
        }
    }
}

#[test]
fn the_sound_variant_teaches_nothing_and_keeps_its_key() {
    let (training, test) = digits();
    let protected = protected(Setting::Lwe, Sizes::default(), &training, &test);
    assert_eq!(protected.owner_decrypts, Some(1.0));
    for learner in Learner::ALL {
        let accuracy = accuracy(&protected, &training, &test, learner);
        // 599 images: 3.9 standard deviations of guessing are 4.8 points; always the most frequent class is 10.4 %.
        assert!((0.05..0.155).contains(&accuracy), "{learner}: {accuracy}");
    }
    let attacked = attack(&protected, &training, &test, &Control::default(), &mut go).unwrap().unwrap();
    assert_eq!((attacked.recovered, attacked.consistent, attacked.images, attacked.without_key), (0.0, 0.0, Some(0.0), Some(0.0)));
}

#[test]
fn utility_and_secrecy_meet_where_the_mask_fills_the_modulus() {
    let (training, test) = digits();
    let point = |bits: u32| {
        let sizes = Sizes { q_bits: 30, a_bound: (bits < 30).then(|| 1 << bits), ..Sizes::default() };
        let protected = protected(Setting::ModularFresh, sizes, &training, &test);
        assert_eq!(protected.owner_decrypts, Some(1.0));
        let attacked = attack(&protected, &training, &test, &Control::default(), &mut go).unwrap().unwrap();
        (accuracy(&protected, &training, &test, Learner::Softmax), attacked.recovered, attacked.images.unwrap())
    };
    let (open, closed) = (point(12), point(30));
    assert!(open.0 > 0.85 && open.1 > 0.999 && open.2 > 0.999, "{open:?}");
    assert!(closed.0 < 0.16 && closed.1 < 0.1 && closed.2 == 0.0, "{closed:?}");
}

#[test]
fn every_experiment_gives_the_same_bits_with_any_number_of_threads() {
    let (training, test) = digits();
    let (training, test) = (first(&training, 300), first(&test, 50));
    for (setting, learner) in [(Setting::IntegersFresh, Learner::Conv), (Setting::ModularFixed, Learner::Mlp)] {
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let protected = protected(setting, Sizes::default(), &training, &test);
                let scaled = Scaling::of(&protected.training).apply(&protected.training, 64).unwrap();
                let learnt = learn(&protected, (&training.labels, &test.labels), learner, (Some(2), 3), &Control::default(), &mut go).unwrap();
                let attacked = attack(&protected, &training, &test, &Control::default(), &mut go).unwrap().unwrap();
                (protected.training, scaled, learnt.classes, learnt.accuracy, attacked.rounded, attacked.recovered)
            })
        };
        let one = run(1);
        assert!(run(2) == one && run(5) == one, "{setting}");
    }
}

#[test]
fn scaling_centres_and_does_not_blow_up_what_is_constant() {
    let values: Vec<i64> = (0..3000).flat_map(|at| [5, 1000 * (at % 7), at % 2]).collect();
    let coordinates = Coordinates { count: 3000, width: 3, values };
    let scaled = Scaling::of(&coordinates).apply(&coordinates, 3).unwrap();
    let column = |at: usize| scaled.values.iter().skip(at).step_by(3).copied();
    assert!(column(0).all(|v| v == 0.0));
    assert!((column(1).sum::<f32>() / 3000.0).abs() < 1e-3 && column(1).any(|v| v > 1.0));
    // Faint beside the others: it stays faint.
    assert!(column(2).all(|v| v.abs() < 0.01));
    assert!(Scaling::of(&coordinates).apply(&Coordinates { count: 1, width: 2, values: vec![0; 2] }, 2).is_err());
}

#[test]
fn settings_name_what_breaks_them_and_refuse_what_does_not_decrypt() {
    for setting in Setting::ALL {
        assert_eq!(setting.to_string().parse::<Setting>().unwrap(), setting);
        let protection = Protection::new(setting, Sizes::default(), 784, 255).unwrap();
        let sound = matches!(setting, Setting::Clear | Setting::Lwe);
        assert_eq!(protection.unsound().is_none(), sound, "{setting}");
        assert_eq!(protection.parameters.is_some_and(|p| p.modulus_bits.is_some()), setting.is_modular());
    }
    assert!("integers".parse::<Setting>().unwrap_err().to_string().contains("integers-fixed"));
    let few = Protection::new(Setting::ModularFresh, Sizes { a_bound: None, ..Sizes::default() }, 784, 255).unwrap();
    assert!(few.parameters.unwrap().mask == Draw::Modulus && few.unsound().unwrap().contains("key columns"));
    let weak = Sizes { w_bits: Some(20), ..Sizes::default() };
    assert!(matches!(Protection::new(Setting::IntegersFixed, weak, 784, 255), Err(Error::Noise { .. })));
    assert!(Protection::new(Setting::IntegersFixed, Sizes { key_columns: 0, ..Sizes::default() }, 784, 255).is_err());
    assert!(Protection::new(Setting::ModularFresh, Sizes { q_bits: 4, ..Sizes::default() }, 784, 255).is_err());
}

#[test]
fn every_point_of_every_sweep_decrypts_and_a_matrix_without_images_is_attacked() {
    for sweep in Sweep::ALL {
        assert_eq!(sweep.name().parse::<Sweep>().unwrap(), sweep);
        for point in sweep.points() {
            Protection::new(point.setting, point.sizes, 784, 255).unwrap();
            Protection::new(point.setting, point.sizes, 64, 16).unwrap();
        }
    }
    let sizes = Sizes { key_columns: 10, a_bound: Some(1000), t_bound: 1000, ..Sizes::default() };
    let parameters = Protection::new(Setting::IntegersFixed, sizes, 10, 255).unwrap().parameters.unwrap();
    let attacked = attack_matrix(parameters, Some(100), 1, &Control::default(), &mut go).unwrap();
    assert!(attacked.entries == 100 && attacked.samples == 1000 && attacked.recovered >= 0.99, "{attacked:?}");
}

#[test]
fn a_stop_ends_an_experiment() {
    let (training, test) = digits();
    let protection = Protection::new(Setting::IntegersFixed, Sizes::default(), 64, 16).unwrap();
    let stopped = Control::stopping_at(1);
    assert!(matches!(protect(&training, &test, protection, 1, &stopped, &mut go), Err(Error::Interrupted)));
    let protected = protected(Setting::IntegersFixed, Sizes::default(), &training, &test);
    let labels = (&training.labels[..], &test.labels[..]);
    assert!(matches!(learn(&protected, labels, Learner::Softmax, (None, 1), &stopped, &mut go), Err(Error::Interrupted)));
    assert!(matches!(attack(&protected, &training, &test, &stopped, &mut go), Err(Error::Interrupted)));
    assert!(matches!(learn(&protected, (&[1], &[1]), Learner::Softmax, (None, 1), &Control::default(), &mut go), Err(Error::Size { .. })));
}
