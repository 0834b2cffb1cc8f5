//! A scratch root for rpm, and packages made for it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, ensure};
use mutex_tests::packages::{NAME, SUFFIXES, query, rpm};
use mutex_tests::process::command::{output, run};
use mutex_tests::process::programs;
use mutex_tests::services::in_memory;
use tempfile::TempDir;

use crate::distributions::{Distribution, Package};

/// What all our packages and the rest take.
const ROOM: u64 = 1 << 30;

/// What every distribution's `filesystem` owns, so that nobody else has to.
const SYSTEM: &[&str] = &[
    "/bin",
    "/etc",
    "/usr/bin",
    "/usr/lib/.build-id",
    "/usr/libexec",
    "/usr/share",
    "/usr/share/doc",
    "/usr/share/licenses",
    "/usr/share/man/man7",
    "/usr/share/man/man8",
    "/usr/share/selinux/packages",
    // Where rpm puts a scriptlet.
    "/var/tmp",
];

/// A root in which a distribution's packages are installed, as far as their names go. Ends with this value.
pub(crate) struct Root {
    dir: TempDir,
    /// Those of ours that are for it.
    ours: Vec<PathBuf>,
}

impl Root {
    /// With stand-ins for the distribution's packages, and one for all that ours need otherwise.
    pub(crate) fn of(distribution: &Distribution) -> anyhow::Result<Self> {
        let dir = in_memory::directory("mutex-root-", ROOM).context("make a directory")?;
        let ours = SUFFIXES.iter().map(|suffix| rpm(distribution.build, suffix)).collect::<anyhow::Result<_>>()?;
        let root = Self { dir, ours };
        fs::create_dir_all(root.path())?;
        run(&mut root.rpm(&["--initdb"]))?;
        let mut standins = vec![root.system(distribution.filesystem)?];
        for package in (distribution.packages)()? {
            standins.push(root.make(&package)?);
        }
        let installed = root.install(&standins)?;
        ensure!(installed.status.success(), "{}", String::from_utf8_lossy(&installed.stderr));
        Ok(root)
    }

    /// And all of ours.
    pub(crate) fn with_ours(distribution: &Distribution) -> anyhow::Result<Self> {
        let root = Self::of(distribution)?;
        let said = root.install(&root.ours)?;
        ensure!(said.status.success(), "{}: {}", distribution.name, String::from_utf8_lossy(&said.stderr));
        Ok(root)
    }

    /// Our packages for it.
    pub(crate) fn ours(&self) -> &[PathBuf] {
        &self.ours
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().join("root")
    }

    /// Where this path of the root is.
    pub(crate) fn at(&self, path: &str) -> PathBuf {
        self.path().join(path.trim_start_matches('/'))
    }

    /// A file beside it, which ends with it.
    pub(crate) fn outside(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// `rpm` for this root.
    pub(crate) fn rpm(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("rpm");
        // Debian's rpm has its database elsewhere.
        command.arg("--root").arg(self.path()).args(["--dbpath", "/var/lib/rpm"]).args(arguments);
        command
    }

    pub(crate) fn install(&self, packages: &[PathBuf]) -> anyhow::Result<Output> {
        output(self.rpm(&["--install"]).args(packages))
    }

    /// Every path in the root but rpm's own.
    pub(crate) fn paths(&self) -> anyhow::Result<BTreeSet<PathBuf>> {
        fn walk(dir: &Path, found: &mut BTreeSet<PathBuf>) -> anyhow::Result<()> {
            for entry in fs::read_dir(dir)? {
                let entry = entry?;
                if entry.file_type()?.is_dir() && !entry.path().ends_with("var/lib/rpm") {
                    walk(&entry.path(), found)?;
                }
                found.insert(entry.path());
            }
            Ok(())
        }
        let mut found = BTreeSet::new();
        walk(&self.path(), &mut found)?;
        Ok(found)
    }

    /// A package with these files, of other content than anybody's.
    pub(crate) fn make(&self, package: &Package) -> anyhow::Result<PathBuf> {
        let Package { name, files, directories } = package;
        let lines =
            |prefix: &str, paths: &[String]| paths.iter().map(|path| format!("{prefix}{path}\n")).collect::<String>();
        let install: String = files
            .iter()
            .map(|file| {
                format!("mkdir -p %{{buildroot}}$(dirname {file}); echo stand-in of {name} >%{{buildroot}}{file}\n")
            })
            .chain(directories.iter().map(|dir| format!("mkdir -p %{{buildroot}}{dir}\n")))
            .collect();
        let spec = format!(
            "Name: {name}\nVersion: 1\nRelease: 1\nSummary: stand-in\nLicense: MIT\n\n%description\nstand-in\n\
             %define __os_install_post %{{nil}}\nAutoReqProv: no\n%install\n{install}\n%files\n{}{}",
            lines("", files),
            lines("%dir ", directories),
        );
        self.build(name, &spec)
    }

    /// The shell that scriptlets run with, the directories that no package of ctdb's owns, and whatever ours need.
    fn system(&self, filesystem: &[&str]) -> anyhow::Result<PathBuf> {
        let mut provides = BTreeSet::new();
        for rpm in &self.ours {
            for need in query(rpm, &["--requires"])? {
                let name = need.split(' ').next().unwrap_or_default().to_owned();
                if name != "ctdb" && !name.starts_with(NAME) && !name.starts_with("rpmlib(") && name != "/bin/sh" {
                    provides.insert(name);
                }
            }
        }
        let provides: String = provides.iter().map(|name| format!("Provides: {name}\n")).collect();
        let busybox = programs::packaged("/bin/busybox", "busybox-static")?;
        let owned = [SYSTEM, filesystem].concat();
        let dirs: String = owned.iter().map(|dir| format!("%dir {dir}\n")).collect();
        let spec = format!(
            "Name: system\nVersion: 1\nRelease: 1\nSummary: stand-in\nLicense: MIT\n{provides}\n%description\nstand-in\n\
             %define __os_install_post %{{nil}}\nAutoReqProv: no\n%install\n\
             for dir in {}; do mkdir -p %{{buildroot}}$dir; done\ncp {} %{{buildroot}}/bin/busybox\n\
             for name in sh rm rmdir; do ln -s busybox %{{buildroot}}/bin/$name; done\n\
             %files\n{dirs}/bin/busybox\n/bin/sh\n/bin/rm\n/bin/rmdir\n",
            owned.join(" "),
            busybox.display(),
        );
        self.build("system", &spec)
    }

    fn build(&self, name: &str, spec: &str) -> anyhow::Result<PathBuf> {
        let file = self.dir.path().join(format!("{name}.spec"));
        fs::write(&file, spec)?;
        let top = self.dir.path().join("build");
        let mut rpmbuild = Command::new("rpmbuild");
        rpmbuild.args(["-bb", "--quiet", "--nodeps", "--define"]).arg(format!("_topdir {}", top.display())).arg(&file);
        run(&mut rpmbuild)?;
        let arch = std::env::consts::ARCH;
        Ok(top.join(format!("RPMS/{arch}/{name}-1-1.{arch}.rpm")))
    }
}
