//! A number by which a running replica is compared with its definition. Knows neither.

use tend_base::Fnv64;

use super::{Grant, Logs, Port, Process, Resources, SecretDelivery, Service, WhenBehind, Workload};

impl Service {
    /// Returns a number that changes when a replica would have to be started anew for the definition to take effect.
    ///
    /// How many replicas there are, when they restart and how they are probed takes effect without.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        let Workload::Process(process) = &self.workload else {
            return 0;
        };
        // Every field by name, so that a new one is not forgotten here.
        let Process {
            command,
            directory,
            environment,
            user,
            prepare,
            open_files_max,
            // What of the folder is kept says nothing of how it runs, and the folder of an artifact is named after its digest.
            artifact: _,
            artifact_digest: _,
        } = process;
        let Resources {
            memory_max,
            cpus_max,
            pids_max,
            memory_reserved,
            cpus_reserved,
        } = self.resources;
        let Logs {
            file_bytes_max,
            files_max,
            when_behind,
        } = self.logs;
        let mut hash = Texts::default();
        hash.texts(command);
        hash.bytes(directory.as_os_str().as_encoded_bytes());
        for (name, value) in environment {
            hash.bytes(name.as_bytes());
            hash.bytes(value.as_bytes());
        }
        hash.number(environment.len() as u64);
        hash.texts(user);
        hash.texts(prepare.iter().flatten());
        let numbers = [*open_files_max, memory_max, pids_max, memory_reserved];
        let shares = [cpus_max, cpus_reserved].map(|share| share.map(f64::to_bits));
        for number in numbers.into_iter().chain(shares) {
            hash.number(u64::from(number.is_some()));
            hash.number(number.unwrap_or(0));
        }
        hash.number(file_bytes_max);
        hash.number(u64::from(files_max));
        hash.number(match when_behind {
            WhenBehind::Drop => 0,
            WhenBehind::Block => 1,
        });
        match &self.port {
            Port::None => hash.number(0),
            Port::Variable(name) => hash.texts([name]),
            Port::Descriptor(number) => hash.texts(["descriptor", &number.to_string()]),
            Port::Fixed(port) => hash.texts(["fixed", &port.to_string()]),
        }
        // A definition without secrets has the number it had before there were any: what runs stays as it is.
        for grant in &self.secrets {
            let Grant {
                secret,
                version,
                also,
                delivery,
            } = grant;
            match delivery {
                SecretDelivery::File(name) => hash.texts([secret, "file", name]),
                SecretDelivery::Environment(variable) => hash.texts([secret, "environment", variable]),
                SecretDelivery::Descriptor(number) => hash.texts([secret, "descriptor", &number.to_string()]),
            }
            hash.number(*version);
            if let Some(also) = also {
                hash.texts(["also", &also.to_string()]);
            }
        }
        hash.0.value()
    }
}

/// The hash of texts that are told apart.
///
/// It is asked for every running replica each time something happens, so it goes without a text in between.
#[derive(Default)]
struct Texts(Fnv64);

impl Texts {
    /// Takes in a text and its length, so that two texts are not taken for one.
    fn bytes(&mut self, bytes: &[u8]) {
        self.0.bytes(bytes);
        self.number(bytes.len() as u64);
    }

    fn number(&mut self, number: u64) {
        self.0.number(number);
    }

    fn texts<T: AsRef<str>>(&mut self, texts: impl IntoIterator<Item = T>) {
        let mut count = 0;
        for text in texts {
            self.bytes(text.as_ref().as_bytes());
            count += 1;
        }
        self.number(count);
    }
}
