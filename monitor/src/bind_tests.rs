use super::*;
use crate::config::{DiskSource, NetSource};

fn manifest(devices: &[(DeviceKind, &str, bool, bool)]) -> Manifest {
    let devices = devices
        .iter()
        .map(|&(kind, name, writable, optional)| Declared {
            kind,
            access: if writable { Access::Write } else { Access::Read },
            optional,
            name: name.to_owned(),
            features: 0,
        })
        .collect();
    Manifest { abi_version: 1, min_memory: 0, stack_size: 0, devices }
}

fn net(name: Option<&str>, tap: &str) -> NetConfig {
    NetConfig { name: name.map(str::to_owned), source: NetSource::Tap(tap.to_owned()), mac: None }
}

fn disk(name: Option<&str>, path: &str, read_only: bool) -> DiskConfig {
    DiskConfig {
        name: name.map(str::to_owned),
        source: DiskSource::Path(path.into()),
        read_only,
        direct: false,
        block_size: None,
    }
}

fn describe(bindings: Result<Vec<Binding>, BindError>) -> Vec<String> {
    let describe = |binding: &Binding| match binding {
        Binding::Net(NetConfig { source: NetSource::Tap(tap), .. }) => tap.clone(),
        Binding::Disk { config: DiskConfig { source: DiskSource::Path(path), read_only, .. }, .. } => {
            format!("{}{}", path.display(), if *read_only { ",ro" } else { "" })
        }
        Binding::Absent => "absent".to_owned(),
        other => panic!("{other:?}"),
    };
    match bindings {
        Ok(bindings) => bindings.iter().map(describe).collect(),
        Err(error) => vec![error.to_string()],
    }
}

use DeviceKind::{Block, Net};

#[test]
fn names_come_first_and_the_rest_in_order() {
    let manifest = manifest(&[
        (Block, "a", false, false),
        (Net, "a", false, false),
        (Block, "b", true, false),
        (Block, "c", false, true),
        (Net, "n", false, true),
    ]);
    let disks = vec![disk(None, "1", false), disk(Some("a"), "2", true), disk(None, "3", false)];
    assert_eq!(
        describe(bind(&manifest, vec![net(Some("n"), "tap1"), net(None, "tap0")], disks)),
        ["2,ro", "tap0", "1", "3,ro", "tap1"]
    );
    let disks = vec![disk(None, "1", true), disk(None, "2", false)];
    assert_eq!(
        describe(bind(&manifest, vec![net(None, "tap0")], disks)),
        ["1,ro", "tap0", "2", "absent", "absent"]
    );
}

#[test]
fn what_does_not_fit_is_said_with_what_would() {
    let manifest = manifest(&[(Net, "service", false, false), (Block, "data", true, false)]);
    let with = |nets, disks| describe(bind(&manifest, nets, disks)).remove(0);
    let data = || vec![disk(None, "1", false)];
    let tap = || vec![net(None, "tap0")];
    assert_eq!(with(vec![], data()), "the program needs the network device 'service': add --net service=TAP");
    assert_eq!(with(tap(), vec![]), "the program needs the block device 'data': add --disk data=PATH");
    assert_eq!(
        with(vec![net(Some("data"), "tap0")], data()),
        "the program declares no network device named 'data'; it declares 'service'"
    );
    assert_eq!(
        with(tap(), vec![disk(None, "1", false), disk(Some("data"), "2", false)]),
        "there are more --disk options than the program declares block devices; it declares 'data'"
    );
    assert_eq!(
        with(tap(), vec![disk(None, "1", true)]),
        "the program writes to the block device 'data': remove ',ro' from its --disk option"
    );
    let none = super::tests::manifest(&[]);
    assert_eq!(
        describe(bind(&none, tap(), vec![])),
        ["there are more --net options than the program declares network devices; it declares none"]
    );
}

#[test]
fn what_no_option_is_for_is_left() {
    let manifest = manifest(&[
        (Net, "a", false, false),
        (Net, "b", false, true),
        (Block, "a", true, false),
        (Block, "c", false, false),
    ]);
    let names = |nets, disks| -> Result<Vec<(DeviceKind, String)>, String> {
        let left = unbound(&manifest, nets, disks).map_err(|error| error.to_string())?;
        Ok(left.into_iter().map(|declared| (declared.kind, declared.name.clone())).collect())
    };
    let left = |left: &[(DeviceKind, &str)]| {
        Ok(left.iter().map(|(kind, name)| (*kind, (*name).to_owned())).collect())
    };
    assert_eq!(names(Vec::new(), Vec::new()), left(&[(Net, "a"), (Net, "b"), (Block, "a"), (Block, "c")]));
    let (nets, disks) = (vec![net(Some("b"), "tap0")], vec![disk(None, "1", false)]);
    assert_eq!(names(nets, disks), left(&[(Net, "a"), (Block, "c")]));
    let refused = names(vec![net(Some("z"), "tap0")], Vec::new()).unwrap_err();
    assert!(refused.contains('z'), "{refused}");
}
