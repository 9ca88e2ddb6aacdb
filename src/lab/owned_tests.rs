//! Tests of `owned.rs`: what is devnet's and what only says so.

use super::*;
use crate::pod::Joins;

const UID: &str = "01234567-89ab-4cde-8f01-23456789abcd";
const LOOK: &str = "devnet-look-18f2a6b3c4d5e6f7-0-4711";

fn labels(all: &[(&str, &str)]) -> Labels {
    all.iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

fn container(name: &str, command: &[&str], network: &str, all: &[(&str, &str)]) -> ContainerFacts {
    let (network, joins) = on(network);
    ContainerFacts {
        name: name.into(),
        command: command.iter().map(|word| (*word).to_owned()).collect(),
        network,
        joins,
        labels: labels(all),
        ..ContainerFacts::default()
    }
}

/// The configured network in the engine's word, and what it joins.
fn on(network: &str) -> (Option<String>, Joins) {
    let container = network.strip_prefix("container:").unwrap_or_default();
    (Some(network.into()), Joins::of_network(container))
}

fn look() -> ContainerFacts {
    let mut look = container(
        LOOK,
        &["/devnet/devnet-probe", "confined", "snap", "serve"],
        "none",
        &[
            (label::ROLE, label::LOOK),
            (label::NAME, LOOK),
            (label::OWNER, "x"),
        ],
    );
    look.joins.pid = Join::Host;
    look
}

fn of_pod<'l>(role: &'l str, name: &'l str) -> Vec<(&'l str, &'l str)> {
    vec![
        (label::ROLE, role),
        (label::NAME, name),
        (label::OWNER, "x"),
        (label::POD_NAME, "web"),
        (label::POD_NAMESPACE, "default"),
        (label::POD_UID, UID),
        (label::ATTEMPT, "2"),
    ]
}

fn sandbox() -> ContainerFacts {
    let name = "devnet_POD_web_default_2";
    let mut all = of_pod(label::SANDBOX, name);
    all.push((label::POD_SPEC, "{}"));
    container(name, &["/devnet-probe", "pause"], "devnet-lab", &all)
}

fn app() -> ContainerFacts {
    let name = "devnet_app_web_default_01234567_2";
    let mut all = of_pod(label::CONTAINER, name);
    all.extend([(label::CONTAINER_NAME, "app"), (label::SANDBOX_ID, "s1")]);
    container(name, &["/bin/app"], "container:s1", &all)
}

fn helper(name: &str, command: &[&str], network: &str) -> ContainerFacts {
    let all = [
        (label::ROLE, label::HELPER),
        (label::NAME, name),
        (label::POD_UID, UID),
    ];
    container(name, command, network, &all)
}

fn reader() -> ContainerFacts {
    let name = "devnet-read-1795845227-0123456789abcdef-00ff-12-34";
    let all = [(label::ROLE, label::READER), (label::NAME, name)];
    container(name, &["-"], "none", &all)
}

fn lock() -> ContainerFacts {
    let all = [(label::ROLE, label::LOCK), (label::NAME, LOCK_NAME)];
    container(LOCK_NAME, &["/devnet-probe", "pause"], "none", &all)
}

fn all_kinds() -> Vec<ContainerFacts> {
    let (network, joins) = on("container:s1");
    let question = ContainerFacts {
        network,
        joins,
        command: ["/devnet-probe", "connect", "x"].map(str::to_owned).into(),
        ..look()
    };
    let shell = "devnet-shell-18f2a6b3c4d5e6f7-1-4711";
    let shell = container(
        shell,
        &["/devnet-probe", "confine", "lent", "hold"],
        "container:s1",
        &[(label::ROLE, label::LOOK), (label::NAME, shell)],
    );
    vec![
        look(),
        question,
        shell,
        reader(),
        sandbox(),
        app(),
        helper("devnet_filler_01234567", &["/devnet-probe"], "none"),
        helper(
            "devnet_holder_01234567",
            &["/devnet-probe", "pause"],
            "container:s1",
        ),
        lock(),
    ]
}

fn is_ours(facts: &ContainerFacts, image: &Labels) -> bool {
    proved(facts, Some(image)).is_some()
}

#[test]
fn all_that_devnet_makes_is_known_also_from_an_image_that_was_made_of_one_of_its_containers() {
    for facts in all_kinds() {
        assert!(is_ours(&facts, &Labels::new()), "{}", facts.name);
        // as `docker commit` of the attempt before makes one
        let mut image = facts.labels.clone();
        image.insert(
            label::NAME.into(),
            "devnet_app_web_default_01234567_1".into(),
        );
        assert!(is_ours(&facts, &image), "{}", facts.name);
    }
}

#[test]
fn labels_that_an_image_brought_prove_nothing_whatever_the_container_is_called() {
    for facts in all_kinds() {
        assert!(!is_ours(&facts, &facts.labels), "{}", facts.name);
        // run by a person, who gives it a name or lets the engine give one
        for name in ["mydata", "busy_darwin", "k8s_POD_web_default_u_0"] {
            let strange = ContainerFacts {
                name: name.into(),
                ..facts.clone()
            };
            assert!(!is_ours(&strange, &facts.labels), "{name}");
            assert!(!is_ours(&strange, &Labels::new()), "{name}");
        }
        // its image is gone, and nobody can tell what that one brought
        assert!(proved(&facts, None).is_none());
    }
}

#[test]
fn of_a_container_whose_image_is_gone_the_file_for_its_id_is_the_proof() {
    for mut facts in all_kinds() {
        facts.labels.insert(label::ADDRESS.into(), "x".into());
        let labels = facts.labels.clone();
        facts.id_file = Some(id_file(&facts.name));
        let own = proved(&facts, None).unwrap();
        assert_eq!(own.get(label::NAME), Some(&facts.name));
        assert_eq!(
            own.get(label::ADDRESS),
            None,
            "an image may have brought it"
        );
        // it replaces the image, and neither the label, nor the name, nor the shape
        assert!(!is_ours(&facts, &labels));
        for missing in [label::ROLE, label::NAME] {
            let mut strange = facts.clone();
            strange.labels.remove(missing);
            assert!(proved(&strange, None).is_none());
        }
        let strange = ContainerFacts {
            command: vec!["sh".into()],
            network: on("bridge").0,
            joins: Joins::default(),
            ..facts.clone()
        };
        assert!(proved(&strange, None).is_none(), "{}", facts.name);
        for file in [facts.name.clone(), id_file("other"), String::new()] {
            facts.id_file = Some(file);
            assert!(proved(&facts, None).is_none());
        }
    }
}

#[test]
fn the_role_alone_or_a_name_alone_is_no_proof() {
    for missing in [label::ROLE, label::NAME] {
        for mut facts in all_kinds() {
            facts.labels.remove(missing);
            assert!(!is_ours(&facts, &Labels::new()), "{}", facts.name);
        }
    }
}

#[test]
fn a_container_with_another_shape_or_another_role_is_not_devnets() {
    for facts in all_kinds() {
        for role in ["", "probe-image", "lab-network", "lab-volume", "other"] {
            let mut strange = facts.clone();
            strange.labels.insert(label::ROLE.into(), role.into());
            assert!(
                !is_ours(&strange, &Labels::new()),
                "{} as {role}",
                facts.name
            );
        }
        let (network, joins) = on("container:another");
        let strange = ContainerFacts {
            network,
            joins,
            command: ["sh", "-c", "echo precious >/data"]
                .map(str::to_owned)
                .into(),
            ..facts.clone()
        };
        assert!(!is_ours(&strange, &Labels::new()), "{}", facts.name);
    }
}

#[test]
fn a_name_needs_what_no_image_knows_beforehand() {
    for name in [
        "devnet-look",
        "devnet-look-",
        "devnet-look-web",
        "devnet-look-1-2-3",
        "devnet-looks-18f2a6b3c4d5e6f7-0-1",
        "devnet-look-18f2a6b3c4d5e6f7",
        "devnet-look-18f2a6b3c4d5e6f7-x-1",
        "devnet-look-18f2a6b3c4d5e6f7--1",
    ] {
        let mut facts = look();
        facts.name = name.into();
        facts.labels.insert(label::NAME.into(), name.into());
        assert!(!is_ours(&facts, &Labels::new()), "{name}");
    }
}

#[test]
fn of_a_lab_container_only_what_its_maker_wrote_is_believed() {
    let evil = "{\"name\":\"web\",\"hostPID\":true}";
    let image = labels(&[
        (label::POD_SPEC, evil),
        (label::ADDRESS, "10.0.0.9"),
        ("dev.devnet.run", "1"),
        (label::NAME, "devnet_POD_web_default_1"),
        (label::CONTAINER_NAME, "app"),
        ("com.example", "kept"),
    ]);
    let mut facts = app();
    facts
        .labels
        .extend(image.clone().into_iter().filter(|(name, _)| {
            // the engine lets the maker's own labels win
            name != label::NAME
        }));
    let own = proved(&facts, Some(&image)).unwrap();
    assert_eq!(own.get(label::POD_SPEC), None);
    assert_eq!(own.get(label::ADDRESS), None);
    assert_eq!(own.get("dev.devnet.run"), None);
    // equal by chance: the maker always writes it
    assert_eq!(own[label::CONTAINER_NAME], "app");
    assert_eq!(own["com.example"], "kept");
    let mut mine = sandbox();
    mine.labels.insert(label::ADDRESS.into(), "10.0.0.2".into());
    let own = proved(&mine, Some(&Labels::new())).unwrap();
    assert_eq!(own[label::ADDRESS], "10.0.0.2");
}

#[test]
fn what_is_not_proved_has_no_label_of_devnets() {
    let mut all = app().labels;
    all.insert("dev.devnets".into(), "another's".into());
    without_ours(&mut all);
    assert_eq!(all, labels(&[("dev.devnets", "another's")]));
}

#[test]
fn networks_and_volumes_are_known_by_name_and_label_together() {
    let network = |name, of| {
        is_network(
            name,
            &labels(&[(label::ROLE, label::NETWORK), (label::NAME, of)]),
        )
    };
    assert!(network("devnet-lab", "devnet-lab"));
    assert!(network("devnet-lab-0123abcd", "devnet-lab-0123abcd"));
    assert!(!network("mine", "devnet-lab"));
    assert!(!network("mine", "mine"));
    assert!(!network("devnet-lab", "mine"));
    assert!(!is_network(
        "devnet-lab",
        &labels(&[(label::ROLE, label::NETWORK)])
    ));
    let volume = |name, of, uid| {
        let all = [
            (label::ROLE, label::VOLUME),
            (label::NAME, of),
            (label::POD_UID, uid),
        ];
        is_volume(name, &labels(&all))
    };
    assert!(volume("devnet_01234567_data", "devnet_01234567_data", UID));
    assert!(!volume("precious", "devnet_01234567_data", UID));
    assert!(!volume("precious", "precious", UID));
    assert!(!volume(
        "devnet_01234567_data",
        "devnet_01234567_data",
        "other"
    ));
    assert!(!is_volume(
        "precious",
        &labels(&[(label::ROLE, label::VOLUME)])
    ));
}

#[test]
fn an_image_is_devnets_only_under_the_name_that_it_was_given() {
    let (probe, look) = ("devnet-probe:0123456789ab", format!("{LOOK}:0123456789ab"));
    let probed = labels(&[(label::ROLE, label::PROBE_IMAGE), (label::NAME, probe)]);
    let looked = labels(&[(label::ROLE, label::LOOK_IMAGE), (label::NAME, &look)]);
    assert!(is_image(probe, &probed));
    assert!(is_image("localhost/devnet-probe:0123456789ab", &probed));
    assert!(is_image(&look, &looked));
    // built on it, committed, tagged, or with nothing but a label
    for name in [
        "mine:1",
        "<none>:<none>",
        "shop/devnet-probe:0123456789ab",
        "devnet-probe:latest",
    ] {
        assert!(!is_image(name, &probed), "{name}");
    }
    assert!(!is_image(
        probe,
        &labels(&[(label::ROLE, label::PROBE_IMAGE)])
    ));
    assert!(!is_image(
        probe,
        &labels(&[(label::ROLE, "probe"), (label::NAME, probe)])
    ));
    let mine = labels(&[(label::ROLE, "probe"), (label::NAME, "mine:1")]);
    assert!(!is_image("mine:1", &mine));
}
