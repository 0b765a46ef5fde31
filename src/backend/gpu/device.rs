//! The adapter, its device, and what is submitted to it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use super::clock::{Clock, Stamps};
use super::generate::{Entry, GROUP, module};
use super::shape::{Arithmetic, Communication, Shape, Variant};
use crate::control::Control;
use crate::error::Error;
use crate::stopwatch::Stopwatch;

/// Longest time that a submission may take, compilation by the driver included.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long a wait for the device may go without a look at the control.
const TICK: Duration = Duration::from_millis(100);
/// Bytes between the parameters of two dispatches: no adapter asks for a larger alignment.
const PARAMETER_STRIDE: u64 = 256;
/// Bytes of the parameters of a dispatch.
const PARAMETER_BYTES: u64 = 64;
/// Storage buffers that the kernels bind.
const BINDINGS: u32 = 6;

/// What went wrong on the device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    /// A buffer would be larger than the adapter's limits.
    TooLarge { bytes: u64, limit: u64, adapter: String },
    /// A sample differs from what the processor computed.
    Wrong { what: &'static str, expected: String, actual: String },
    /// It has no memory left: less at a time may work.
    OutOfMemory,
    /// It is gone, with all that was on it.
    Lost(String),
    /// It did not finish in time.
    TimedOut,
    /// The work was stopped from outside.
    Interrupted,
    /// It refused what it was told: a defect here or in the driver.
    Refused(String),
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        let problem = match fault {
            Fault::TooLarge { bytes, limit, adapter } => {
                return Self::OutOfRange {
                    what: "a buffer on the device",
                    value: format!("{bytes} bytes"),
                    allowed: format!("up to {limit} bytes on {adapter}; use smaller batches or tables"),
                };
            }
            Fault::Wrong { what, expected, actual } => return Self::Disagreement { what: format!("{what} on the gpu"), expected, actual },
            Fault::Interrupted => return Self::Interrupted,
            Fault::OutOfMemory => "the device has no memory left; use smaller batches or tables".into(),
            Fault::Lost(reason) => format!("the device was lost ({reason}) with all that was on it; start again"),
            Fault::TimedOut => format!("the device did not finish within {} s", PATIENCE.as_secs()),
            Fault::Refused(reason) => format!("the device refused its work: {}", reason.split_whitespace().collect::<Vec<_>>().join(" ")),
        };
        Self::DeviceFailed { backend: crate::backend::BackendId::Gpu.name(), problem }
    }
}

/// What the schedule must keep to. Tests make it narrower.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Limits {
    /// Bytes of one binding.
    pub(super) binding_bytes: u64,
    /// Bytes of one buffer.
    pub(super) buffer_bytes: u64,
    /// Workgroups in one dimension of a dispatch.
    pub(super) groups: u32,
    /// Iterations of all loops of an invocation, where the driver counts them.
    pub(super) iterations: Option<u64>,
    /// Seconds of a submission.
    pub(super) seconds: f64,
    /// Bytes that scratch slots of one chunk may take.
    pub(super) scratch_bytes: u64,
    /// Chunks in flight.
    pub(super) in_flight: usize,
    /// Lanes that fill the device.
    pub(super) lanes: usize,
    /// Widest team.
    pub(super) team: u32,
    /// Alignment of a binding within its buffer, in bytes.
    pub(super) alignment: u64,
}

/// A buffer or a part of it.
#[derive(Clone, Debug)]
pub(super) struct View {
    pub(super) buffer: wgpu::Buffer,
    pub(super) offset: u64,
    pub(super) bytes: u64,
}

impl View {
    pub(super) fn whole(buffer: &wgpu::Buffer) -> Self {
        Self { buffer: buffer.clone(), offset: 0, bytes: buffer.size() }
    }

    fn binding(&self) -> wgpu::BindingResource<'_> {
        wgpu::BindingResource::Buffer(wgpu::BufferBinding { buffer: &self.buffer, offset: self.offset, size: wgpu::BufferSize::new(self.bytes) })
    }
}

/// What an entry point reads and writes; the names are those of `prelude.wgsl`.
#[derive(Clone, Debug)]
pub(super) struct Bindings {
    pub(super) code: View,
    pub(super) constants: View,
    pub(super) inputs: View,
    pub(super) table: View,
    pub(super) digits: View,
    pub(super) slots: View,
}

/// The counts and strides of a dispatch; the names are those of `prelude.wgsl`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub(super) struct Params {
    pub(super) count: u32,
    pub(super) items: u32,
    pub(super) first: u32,
    pub(super) steps: u32,
    pub(super) inputs: u32,
    pub(super) slots: u32,
    pub(super) windows: u32,
    pub(super) entries: u32,
    pub(super) input_base: u32,
    pub(super) slot_base: u32,
    pub(super) table_base: u32,
    pub(super) together: u32,
    pub(super) first_item: u32,
    pub(super) per_modulus: u32,
    pub(super) constant_rows: u32,
    pub(super) table_rows: u32,
}

impl Default for Params {
    /// Nothing to do, and one modulus for all items.
    fn default() -> Self {
        Self { per_modulus: u32::MAX, ..bytemuck::Zeroable::zeroed() }
    }
}

/// One dispatch.
pub(super) struct Dispatch {
    pub(super) entry: Entry,
    /// Index into the submission's bindings.
    pub(super) bindings: usize,
    pub(super) params: Params,
    /// Invocations.
    pub(super) invocations: u64,
}

/// Work to submit at once.
#[derive(Default)]
pub(super) struct Work {
    pub(super) bindings: Vec<Bindings>,
    pub(super) dispatches: Vec<Dispatch>,
    /// (from, to, offset), before all dispatches.
    pub(super) loads: Vec<(View, wgpu::Buffer, u64)>,
    /// (from, to), after all dispatches.
    pub(super) copies: Vec<(View, wgpu::Buffer)>,
    /// Buffers to fill with zeros at the end.
    pub(super) wiped: Vec<wgpu::Buffer>,
    /// Products of limbs in all dispatches.
    pub(super) limb_products: u64,
}

/// Work that the device was given.
pub(super) struct Pending {
    index: wgpu::SubmissionIndex,
    limb_products: u64,
    watch: Stopwatch,
    stamps: Option<Stamps>,
}

/// Stamps that may wait to be read.
const STAMPS_WAITING: usize = 256;

/// Facts about an adapter that choices rest on.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Adapter {
    pub(super) name: String,
    pub(super) kind: wgpu::DeviceType,
    pub(super) driver: String,
    pub(super) features: wgpu::Features,
    pub(super) subgroup: (u32, u32),
}

impl Adapter {
    pub(super) fn of(adapter: &wgpu::Adapter) -> Self {
        let info = adapter.get_info();
        Self {
            driver: format!("{} {} {}", info.backend, info.driver, info.driver_info).split_whitespace().collect::<Vec<_>>().join(" "),
            name: info.name,
            kind: info.device_type,
            features: adapter.features(),
            subgroup: (info.subgroup_min_size, info.subgroup_max_size),
        }
    }

    /// Whether a processor imitates a GPU.
    pub(super) fn is_software(&self) -> bool {
        self.kind == wgpu::DeviceType::Cpu
    }

    /// The features that a variant needs and this adapter lacks.
    pub(super) fn lacks(&self, variant: Variant) -> Vec<&'static str> {
        let mut needed = Vec::new();
        if variant.arithmetic != Arithmetic::U32 {
            needed.push((wgpu::Features::SHADER_INT64, "64-bit integers"));
        }
        if variant.arithmetic == Arithmetic::F64 {
            needed.push((wgpu::Features::SHADER_F64, "64-bit floats"));
        }
        if variant.communication == Communication::Subgroup {
            needed.push((wgpu::Features::SUBGROUP, "subgroup operations"));
        }
        needed.into_iter().filter(|(feature, _)| !self.features.contains(*feature)).map(|(_, name)| name).collect()
    }

    /// The variants that it can run by its features, the one to prefer first.
    pub(super) fn variants(&self) -> Vec<Variant> {
        Variant::ALL.into_iter().filter(|&variant| self.lacks(variant).is_empty()).collect()
    }
}

/// The adapter to use: the one whose name holds `wanted`, else the first of the best kind. Software comes last and is taken when nothing else is there.
pub(super) fn choose(adapters: &[Adapter], wanted: Option<&str>) -> Result<usize, String> {
    let rank = |adapter: &Adapter| match adapter.kind {
        wgpu::DeviceType::DiscreteGpu => 0,
        wgpu::DeviceType::IntegratedGpu => 1,
        wgpu::DeviceType::VirtualGpu => 2,
        wgpu::DeviceType::Other => 3,
        wgpu::DeviceType::Cpu => 4,
    };
    let matches = |adapter: &Adapter| wanted.is_none_or(|wanted| adapter.name.to_lowercase().contains(&wanted.to_lowercase()));
    let names = || adapters.iter().map(|a| a.name.as_str()).collect::<Vec<_>>().join(", ");
    match (adapters.iter().enumerate().filter(|(_, a)| matches(a)).min_by_key(|(_, a)| rank(a)), wanted) {
        (Some((index, _)), _) => Ok(index),
        (None, Some(wanted)) if !adapters.is_empty() => Err(format!("no adapter is named like `{wanted}`; there are: {}", names())),
        (None, _) => Err("no Vulkan, Metal or DirectX 12 adapter; install the driver of the GPU, or mesa-vulkan-drivers for one in software".into()),
    }
}

/// All adapters of this machine.
pub(super) fn adapters() -> Vec<wgpu::Adapter> {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    descriptor.backends = wgpu::Backends::VULKAN | wgpu::Backends::METAL | wgpu::Backends::DX12;
    descriptor.flags = wgpu::InstanceFlags::empty();
    pollster::block_on(wgpu::Instance::new(descriptor).enumerate_adapters(wgpu::Backends::all()))
}

/// A pipeline, made when it is first used.
type Kernels = HashMap<(Entry, Shape), wgpu::ComputePipeline>;

/// An open device.
pub(super) struct Context {
    pub(super) adapter: Adapter,
    pub(super) limits: Limits,
    device: wgpu::Device,
    queue: wgpu::Queue,
    layout: wgpu::BindGroupLayout,
    pipeline_layout: wgpu::PipelineLayout,
    kernels: Mutex<Kernels>,
    /// Products of limbs per second by shape, as measured so far.
    rates: Mutex<HashMap<Shape, f64>>,
    lost: Arc<Mutex<Option<String>>>,
    nothing: wgpu::Buffer,
    clock: Option<Mutex<Clock>>,
    /// Buffers that are still to be made before one fails for lack of memory, once.
    #[cfg(test)]
    pub(super) buffers_left: std::sync::atomic::AtomicI64,
    /// Changes the text of every module.
    #[cfg(test)]
    pub(super) patch: Option<fn(&str) -> String>,
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Context {
    /// Opens the device of an adapter.
    pub(super) fn open(adapter: &wgpu::Adapter) -> Result<Self, String> {
        let facts = Adapter::of(adapter);
        let wanted = wgpu::Features::SHADER_INT64 | wgpu::Features::SHADER_F64 | wgpu::Features::SUBGROUP | wgpu::Features::TIMESTAMP_QUERY;
        let limits = adapter.limits();
        if limits.max_storage_buffers_per_shader_stage < BINDINGS || limits.max_compute_invocations_per_workgroup < GROUP {
            return Err(format!(
                "{} binds {} storage buffers and runs workgroups of {}, {BINDINGS} and {GROUP} are needed",
                facts.name, limits.max_storage_buffers_per_shader_stage, limits.max_compute_invocations_per_workgroup
            ));
        }
        let (device, queue) = pollster::block_on(adapter.request_device(&wgpu::DeviceDescriptor {
            label: Some("cipherlane"),
            required_features: facts.features & wanted,
            required_limits: limits.clone(),
            experimental_features: wgpu::ExperimentalFeatures::disabled(),
            memory_hints: wgpu::MemoryHints::Performance,
            trace: wgpu::Trace::Off,
        }))
        .map_err(|e| format!("{} gives no device: {e}", facts.name))?;
        let lost = Arc::new(Mutex::new(None));
        let note = Arc::clone(&lost);
        device.set_device_lost_callback(move |reason, message| {
            let text = if message.is_empty() { format!("{reason:?}") } else { message };
            lock(&note).get_or_insert(text);
        });
        // What happens outside a scope (a wipe on a lost device) must not end the process.
        device.on_uncaptured_error(Arc::new(|_| {}));
        let storage = |binding: u32| wgpu::BindGroupLayoutEntry {
            binding,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: wgpu::BindingType::Buffer {
                ty: wgpu::BufferBindingType::Storage { read_only: binding != BINDINGS },
                has_dynamic_offset: false,
                min_binding_size: None,
            },
            count: None,
        };
        let mut entries = vec![wgpu::BindGroupLayoutEntry {
            ty: wgpu::BindingType::Buffer {
                ty: wgpu::BufferBindingType::Uniform,
                has_dynamic_offset: true,
                min_binding_size: wgpu::BufferSize::new(PARAMETER_BYTES),
            },
            ..storage(0)
        }];
        entries.extend((1..=BINDINGS).map(storage));
        let layout = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label: None, entries: &entries });
        let pipeline_layout =
            device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor { label: None, bind_group_layouts: &[Some(&layout)], immediate_size: 0 });
        let nothing =
            device.create_buffer(&wgpu::BufferDescriptor { label: None, size: 64, usage: wgpu::BufferUsages::STORAGE, mapped_at_creation: false });
        let software = facts.is_software();
        let binding_bytes = limits.max_storage_buffer_binding_size.min(limits.max_buffer_size) / 256 * 256;
        let limits = Limits {
            binding_bytes,
            buffer_bytes: limits.max_buffer_size,
            groups: limits.max_compute_workgroups_per_dimension.min(65_535),
            // Mesa's compiler ends all loops of an invocation silently after 65,535 iterations together.
            iterations: software.then_some(60_000),
            seconds: 0.25,
            scratch_bytes: binding_bytes.min(if software { 64 << 20 } else { 1 << 30 }),
            in_flight: 3,
            // On a GPU enough warps to hide latency on some hundred multiprocessors; in software some subgroups for each thread.
            lanes: if software { 32 * std::thread::available_parallelism().map_or(1, std::num::NonZero::get) } else { 1 << 15 },
            team: facts.subgroup.0.clamp(1, GROUP),
            alignment: u64::from(limits.min_storage_buffer_offset_alignment).max(4),
        };
        let clock = facts.features.contains(wgpu::Features::TIMESTAMP_QUERY).then(Mutex::default);
        Ok(Self {
            adapter: facts,
            limits,
            device,
            queue,
            layout,
            pipeline_layout,
            kernels: Mutex::default(),
            rates: Mutex::default(),
            lost,
            nothing,
            clock,
            #[cfg(test)]
            buffers_left: i64::MAX.into(),
            #[cfg(test)]
            patch: None,
        })
    }

    /// Why the device is gone, if it is.
    pub(super) fn lost(&self) -> Option<String> {
        lock(&self.lost).clone()
    }

    /// Takes the device away, as a driver that resets does.
    #[cfg(test)]
    pub(super) fn lose(&self) {
        self.device.destroy();
        let _ = self.device.poll(wgpu::PollType::Poll);
    }

    /// A binding for what an entry point does not read.
    pub(super) fn nothing(&self) -> View {
        View::whole(&self.nothing)
    }

    /// Bindings that read nothing and write to `slots`.
    pub(super) fn bindings(&self, slots: View) -> Bindings {
        let nothing = || self.nothing();
        Bindings { code: nothing(), constants: nothing(), inputs: nothing(), table: nothing(), digits: nothing(), slots }
    }

    /// Runs `work` and reports what the device says of it.
    fn guarded<T>(&self, work: impl FnOnce() -> T) -> Result<T, Fault> {
        if let Some(reason) = self.lost() {
            return Err(Fault::Lost(reason));
        }
        let scopes =
            [wgpu::ErrorFilter::Internal, wgpu::ErrorFilter::Validation, wgpu::ErrorFilter::OutOfMemory].map(|f| self.device.push_error_scope(f));
        let result = work();
        let mut errors: Vec<wgpu::Error> = scopes.into_iter().rev().filter_map(|scope| pollster::block_on(scope.pop())).collect();
        if !errors.is_empty() {
            // That a device was lost is told by a poll only, when nothing runs any more.
            let _ = self.device.poll(wgpu::PollType::Wait { submission_index: None, timeout: Some(Duration::from_secs(1)) });
        }
        if let Some(reason) = self.lost() {
            return Err(Fault::Lost(reason));
        }
        match errors.pop() {
            None => Ok(result),
            Some(wgpu::Error::OutOfMemory { .. }) => Err(Fault::OutOfMemory),
            Some(error) => Err(Fault::Refused(error.to_string())),
        }
    }

    /// Refuses what no buffer, or no binding, of the adapter can hold.
    pub(super) fn check_size(&self, bytes: u64, limit: u64) -> Result<(), Fault> {
        if bytes > limit {
            return Err(Fault::TooLarge { bytes, limit, adapter: self.adapter.name.clone() });
        }
        Ok(())
    }

    /// A buffer of zeros that kernels may read and write.
    pub(super) fn buffer(&self, bytes: u64) -> Result<wgpu::Buffer, Fault> {
        self.check_size(bytes, self.limits.buffer_bytes)?;
        #[cfg(test)]
        if self.buffers_left.fetch_sub(1, std::sync::atomic::Ordering::SeqCst) == 0 {
            return Err(Fault::OutOfMemory);
        }
        let size = bytes.max(16).next_multiple_of(16);
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST;
        self.guarded(|| self.device.create_buffer(&wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false }))
    }

    /// A buffer with contents.
    pub(super) fn filled(&self, words: &[u32]) -> Result<wgpu::Buffer, Fault> {
        self.check_size(4 * words.len() as u64, self.limits.binding_bytes)?;
        let contents: &[u8] = if words.is_empty() { &[0; 16] } else { bytemuck::cast_slice(words) };
        self.guarded(|| self.written(contents, wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC))
    }

    /// A buffer with contents, which stand there before the next submission begins.
    fn written(&self, contents: &[u8], usage: wgpu::BufferUsages) -> wgpu::Buffer {
        let usage = usage | wgpu::BufferUsages::COPY_DST;
        let descriptor = wgpu::BufferDescriptor { label: None, size: contents.len() as u64, usage, mapped_at_creation: false };
        let buffer = self.device.create_buffer(&descriptor);
        self.queue.write_buffer(&buffer, 0, contents);
        buffer
    }

    /// The pipeline of an entry point.
    fn kernel(&self, entry: Entry, shape: &Shape) -> Result<wgpu::ComputePipeline, Fault> {
        if let Some(kernel) = lock(&self.kernels).get(&(entry, *shape)) {
            return Ok(kernel.clone());
        }
        let source = module(entry, shape);
        #[cfg(test)]
        let source = self.patch.map_or(source.clone(), |patch| patch(&source));
        let kernel = self.guarded(|| {
            let module = self
                .device
                .create_shader_module(wgpu::ShaderModuleDescriptor { label: Some(entry.name()), source: wgpu::ShaderSource::Wgsl(source.into()) });
            self.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                label: Some(entry.name()),
                layout: Some(&self.pipeline_layout),
                module: &module,
                entry_point: Some(entry.name()),
                compilation_options: wgpu::PipelineCompilationOptions { zero_initialize_workgroup_memory: false, ..Default::default() },
                cache: None,
            })
        })?;
        lock(&self.kernels).insert((entry, *shape), kernel.clone());
        Ok(kernel)
    }

    /// Products of limbs per second before anything is measured: a tenth of what a slow processor, or a slow GPU, does.
    fn first_rate(&self) -> f64 {
        if self.adapter.is_software() { 5e7 } else { 5e9 }
    }

    /// Products of limbs that a submission may hold to end in time.
    pub(super) fn budget(&self, shape: &Shape) -> f64 {
        lock(&self.rates).get(shape).copied().unwrap_or_else(|| self.first_rate()) * self.limits.seconds
    }

    /// Gives work to the device.
    pub(super) fn submit(&self, shape: &Shape, work: &Work) -> Result<Pending, Fault> {
        let mut parameters = vec![0u8; (work.dispatches.len().max(1) as u64 * PARAMETER_STRIDE) as usize];
        for (dispatch, room) in work.dispatches.iter().zip(parameters.chunks_exact_mut(PARAMETER_STRIDE as usize)) {
            room[..PARAMETER_BYTES as usize].copy_from_slice(bytemuck::bytes_of(&dispatch.params));
        }
        let kernels = work.dispatches.iter().map(|d| self.kernel(d.entry, shape)).collect::<Result<Vec<_>, _>>()?;
        let watch = Stopwatch::start();
        let clock = self.clock.as_ref().filter(|_| !work.dispatches.is_empty());
        let (index, stamps) = self.guarded(|| {
            let stamps = clock.map(|clock| {
                let free = lock(clock).free.pop();
                free.unwrap_or_else(|| self.stamps())
            });
            let parameters = self.written(&parameters, wgpu::BufferUsages::UNIFORM);
            let group = |bindings: &Bindings| {
                let storage = [&bindings.code, &bindings.constants, &bindings.inputs, &bindings.table, &bindings.digits, &bindings.slots];
                let mut entries = vec![wgpu::BindGroupEntry {
                    binding: 0,
                    resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                        buffer: &parameters,
                        offset: 0,
                        size: wgpu::BufferSize::new(PARAMETER_BYTES),
                    }),
                }];
                entries.extend((1..).zip(storage).map(|(binding, view)| wgpu::BindGroupEntry { binding, resource: view.binding() }));
                self.device.create_bind_group(&wgpu::BindGroupDescriptor { label: None, layout: &self.layout, entries: &entries })
            };
            let groups: Vec<_> = work.bindings.iter().map(group).collect();
            let mut encoder = self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            for (from, to, offset) in &work.loads {
                encoder.copy_buffer_to_buffer(&from.buffer, from.offset, to, *offset, from.bytes);
            }
            if !work.dispatches.is_empty() {
                let timestamp_writes = stamps.as_ref().map(|stamps| wgpu::ComputePassTimestampWrites {
                    query_set: &stamps.queries,
                    beginning_of_pass_write_index: Some(0),
                    end_of_pass_write_index: Some(1),
                });
                let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor { label: None, timestamp_writes });
                for ((dispatch, kernel), number) in work.dispatches.iter().zip(&kernels).zip(0u32..) {
                    let groups_needed = dispatch.invocations.div_ceil(u64::from(GROUP)).max(1);
                    let x = groups_needed.min(u64::from(self.limits.groups));
                    pass.set_pipeline(kernel);
                    pass.set_bind_group(0, &groups[dispatch.bindings], &[number * PARAMETER_STRIDE as u32]);
                    pass.dispatch_workgroups(x as u32, groups_needed.div_ceil(x) as u32, 1);
                }
            }
            if let Some(stamps) = &stamps {
                encoder.resolve_query_set(&stamps.queries, 0..2, &stamps.resolved, 0);
                encoder.copy_buffer_to_buffer(&stamps.resolved, 0, &stamps.staging, 0, 16);
            }
            for (from, to) in &work.copies {
                encoder.copy_buffer_to_buffer(&from.buffer, from.offset, to, 0, from.bytes);
            }
            for buffer in &work.wiped {
                encoder.clear_buffer(buffer, 0, None);
            }
            (self.queue.submit([encoder.finish()]), stamps)
        })?;
        Ok(Pending { index, limb_products: work.limb_products, watch, stamps })
    }

    /// Waits until work is done or `control` was stopped, counts its products and learns from its time. `alone`: nothing else was running when it was submitted.
    pub(super) fn wait(&self, shape: &Shape, pending: Pending, alone: bool, control: &Control) -> Result<(), Fault> {
        loop {
            let wait = || wgpu::PollType::Wait { submission_index: Some(pending.index.clone()), timeout: Some(TICK) };
            match self.guarded(|| self.device.poll(wait()))? {
                Ok(_) => break,
                Err(wgpu::PollError::Timeout) if u128::from(pending.watch.elapsed().wall_ns) > PATIENCE.as_nanos() => return Err(Fault::TimedOut),
                Err(wgpu::PollError::Timeout) => control.check().map_err(|_| Fault::Interrupted)?,
                Err(error) => return Err(Fault::Refused(error.to_string())),
            }
        }
        control.count((pending.limb_products / shape.limb_products().max(1)) as usize);
        let elapsed = pending.watch.elapsed();
        if let (Some(stamps), Some(clock)) = (pending.stamps, &self.clock) {
            let mut clock = lock(clock);
            clock.ended.push(stamps);
            if clock.ended.len() >= STAMPS_WAITING {
                self.read_stamps(&mut clock)?;
            }
        }
        let seconds = elapsed.wall_ns as f64 / 1e9;
        if pending.limb_products > 0 && seconds > 0.0 {
            let measured = pending.limb_products as f64 / seconds;
            let mut rates = lock(&self.rates);
            let rate = rates.entry(*shape).or_insert_with(|| self.first_rate());
            if measured > *rate {
                // Whatever else was waited for, it was at least as fast as that. Growth in steps survives a clock that jumps.
                *rate = measured.min(4.0 * *rate);
            } else if alone && seconds > 2e-3 {
                // Short work measures the way to the device, work behind other work measures that.
                *rate = (*rate + measured) / 2.0;
            }
        }
        Ok(())
    }

    /// Reads a part of a buffer back.
    pub(super) fn read(&self, shape: &Shape, mut work: Work, from: View, control: &Control) -> Result<Vec<u32>, Fault> {
        let bytes = from.bytes;
        let staging = self.guarded(|| {
            let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
            self.device.create_buffer(&wgpu::BufferDescriptor { label: None, size: bytes, usage, mapped_at_creation: false })
        })?;
        work.copies.push((from, staging.clone()));
        let pending = self.submit(shape, &work)?;
        let told = self.map(&staging)?;
        self.wait(shape, pending, false, control)?;
        let words = self.mapped(&staging, &told)?;
        self.wipe(&staging);
        Ok(words)
    }

    /// Asks for a buffer to be mapped; what comes back hears of it.
    fn map(&self, staging: &wgpu::Buffer) -> Result<mpsc::Receiver<bool>, Fault> {
        let (tell, told) = mpsc::channel();
        self.guarded(|| {
            staging.map_async(wgpu::MapMode::Read, .., move |result| {
                let _ = tell.send(result.is_ok());
            });
        })?;
        Ok(told)
    }

    /// The words of a buffer that is being mapped.
    fn mapped(&self, staging: &wgpu::Buffer, told: &mpsc::Receiver<bool>) -> Result<Vec<u32>, Fault> {
        // The poll of another thread may be the one that tells, and a little later.
        let mut mapped = told.try_recv();
        for _ in 0..PATIENCE.as_millis() {
            if mapped.is_ok() {
                break;
            }
            let _ = self.device.poll(wgpu::PollType::Poll);
            mapped = told.recv_timeout(Duration::from_millis(1)).map_err(|_| mpsc::TryRecvError::Empty);
        }
        if mapped != Ok(true) {
            return Err(self.lost().map_or_else(|| Fault::Refused("a buffer could not be read back".into()), Fault::Lost));
        }
        let range = staging.get_mapped_range(..).map_err(|e| Fault::Refused(e.to_string()))?;
        let words = bytemuck::pod_collect_to_vec(&range);
        drop(range);
        staging.unmap();
        Ok(words)
    }

    fn stamps(&self) -> Stamps {
        let buffer = |usage| {
            let usage = usage | wgpu::BufferUsages::COPY_DST;
            self.device.create_buffer(&wgpu::BufferDescriptor { label: None, size: 16, usage, mapped_at_creation: false })
        };
        Stamps {
            queries: self.device.create_query_set(&wgpu::QuerySetDescriptor { label: None, ty: wgpu::QueryType::Timestamp, count: 2 }),
            resolved: buffer(wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC),
            staging: buffer(wgpu::BufferUsages::MAP_READ),
        }
    }

    /// Adds up what the stamps of ended submissions say.
    fn read_stamps(&self, clock: &mut Clock) -> Result<(), Fault> {
        let ended = std::mem::take(&mut clock.ended);
        let told = ended.iter().map(|stamps| self.map(&stamps.staging)).collect::<Result<Vec<_>, _>>()?;
        let mut intervals = Vec::with_capacity(ended.len());
        for (stamps, told) in ended.iter().zip(&told) {
            let words = self.mapped(&stamps.staging, told)?;
            let stamp = |at: usize| u64::from(words[at]) | u64::from(words[at + 1]) << 32;
            intervals.push((stamp(0), stamp(2)));
        }
        clock.busy.add(intervals);
        clock.free.extend(ended);
        Ok(())
    }

    /// Nanoseconds in which kernels ran, of all submissions that were waited for, by the device's own clock; none where it has none or was lost.
    pub(super) fn device_ns(&self) -> Option<u64> {
        let mut clock = lock(self.clock.as_ref()?);
        self.read_stamps(&mut clock).ok()?;
        Some((clock.busy.ticks as f64 * f64::from(self.queue.get_timestamp_period())) as u64)
    }

    /// Fills a buffer with zeros. On a lost device there is nothing left to wipe.
    pub(super) fn wipe(&self, buffer: &wgpu::Buffer) {
        let _ = self.guarded(|| {
            let mut encoder = self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            encoder.clear_buffer(buffer, 0, None);
            self.queue.submit([encoder.finish()])
        });
    }
}
