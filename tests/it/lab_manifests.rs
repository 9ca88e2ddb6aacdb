//! Manifests with the fields that the examples of the Kubernetes documentation use: each comes up
//! with all its containers, or is refused for a reason that has its place.

use crate::lab::Lab;
use crate::new::import;
use crate::support::docker;

#[test]
fn manifests_as_people_write_them_come_up_or_are_refused_for_a_named_reason() {
    let Some(lab) = Lab::new() else { return };
    let images = ["busybox:2", "debian:lab", "nginx:1.27", "redis:7"];
    for image in images {
        import(&lab.sandbox, &lab.testbed, lab.engine(), image, &[]);
    }
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/pods");
    let mut seen = (0, 0);
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        // names of their own: other tests on this engine make and remove images meanwhile
        let text = std::fs::read_to_string(&path)
            .unwrap()
            .replace("busybox:1", "busybox:2")
            .replace("image: debian\n", "image: debian:lab\n");
        let file = lab.write(&name, &text);
        let expected = text.lines().next().unwrap().strip_prefix("# ").unwrap();
        let came = lab.run(&["up", &file]);
        if let Some(why) = expected.strip_prefix("refused: ") {
            let said = came.fails(2);
            assert!(said.contains(why), "{said}");
            seen.1 += 1;
        } else {
            came.ok();
            // what ends at once shows in one of the next looks
            for _ in 0..3 {
                let pod = lab.pod(name.trim_end_matches(".yaml"));
                assert_eq!(pod["ready"], true, "{name}: {pod:#}");
            }
            seen.0 += 1;
        }
        lab.run(&["down"]).ok();
    }
    assert!(seen.0 >= 10 && seen.1 >= 3, "{seen:?}");
    for image in images {
        docker(&lab.testbed, lab.engine(), &["rmi", image]).ok();
    }
}
