"""An instance as libvirt's XML: the same machine as the QEMU lab's, and the mark by which it is ours."""

from dataclasses import dataclass, field
from pathlib import Path, PurePath
from uuid import uuid4
from xml.etree.ElementTree import Element, SubElement, tostring

from migrascope.lab.accelerator import CPU_MODEL
from migrascope.lab.boot_image import BootImage
from migrascope.model.storage import COPIED, SHARED, Storage

MARK = "urn:migrascope:run"
"""The XML namespace of the element in a domain's metadata that names the run it is of."""
DISK = "vda"
_CPU_MODE = {"kvm": "host-passthrough", "tcg": "custom"}
_DOMAIN_TYPE = {"kvm": "kvm", "tcg": "qemu"}


@dataclass(frozen=True)
class DomainSpec:
    """A domain to be made, with a UUID of its own. run: whose it is. volume: address and port of the NBD server that
    has it under the domain's name, or its file on each host: that of shared storage, or else one that a migration
    copies. tap: of its interface in each host; empty: libvirt's choice. link: what the interface joins, "bridge" or
    "network" (one of libvirt's), and its name. serial: the file to which its console goes. machine: the tag of the
    machine whose run it is, where others' hosts have it."""

    name: str
    run: str
    memory_bytes: int
    vcpus: int
    image: BootImage
    accelerator: str
    volume: tuple[str, int] | PurePath
    mac: str
    tap: str
    link: tuple[str, str]
    serial: Path
    uuid: str = field(default_factory=lambda: str(uuid4()))
    shared_file: bool = False
    machine: str = ""

    @property
    def storage(self) -> Storage:
        return COPIED if isinstance(self.volume, PurePath) and not self.shared_file else SHARED


def xml(spec: DomainSpec) -> str:
    """The definition. Devices are on the root bus, as those of the QEMU lab are, and none is added that it lacks."""
    root = Element("domain", type=_DOMAIN_TYPE[spec.accelerator])
    _text(root, "name", spec.name)
    _text(root, "uuid", spec.uuid)
    mark = SubElement(SubElement(root, "metadata"), f"{{{MARK}}}run")
    mark.set("id", spec.run)
    if spec.machine:
        mark.set("machine", spec.machine)
    _text(root, "memory", str(spec.memory_bytes), unit="b")
    _text(root, "vcpu", str(spec.vcpus))
    system = SubElement(root, "os")
    _text(system, "type", "hvm", arch="x86_64", machine="q35")
    _text(system, "kernel", str(spec.image.kernel))
    _text(system, "initrd", str(spec.image.initrd))
    _text(system, "cmdline", spec.image.kernel_line)
    SubElement(SubElement(root, "features"), "acpi")
    root.append(_cpu(spec.accelerator))
    clock = SubElement(root, "clock", offset="utc")
    SubElement(clock, "timer", name="hpet", present="no")
    for event in ("poweroff", "reboot", "crash"):
        _text(root, f"on_{event}", "destroy")
    root.append(_devices(spec))
    return tostring(root, encoding="unicode")


def _cpu(accelerator: str) -> Element:
    cpu = Element("cpu", mode=_CPU_MODE[accelerator])
    if accelerator == "tcg":
        cpu.set("match", "exact")
        cpu.set("check", "none")
        _text(cpu, "model", CPU_MODEL[accelerator], fallback="forbid")
    return cpu


def _devices(spec: DomainSpec) -> Element:
    devices = Element("devices")
    _disk(devices, spec)
    kind, name = spec.link
    interface = SubElement(devices, "interface", type=kind)
    SubElement(interface, "mac", address=spec.mac)
    SubElement(interface, "source", {kind: name})
    if spec.tap:
        SubElement(interface, "target", dev=spec.tap)
    SubElement(interface, "model", type="virtio")
    SubElement(interface, "driver", name="qemu")
    SubElement(interface, "rom", enabled="no")
    _on_root_bus(interface, 3)
    rng = SubElement(devices, "rng", model="virtio")
    _text(rng, "backend", "/dev/urandom", model="random")
    _on_root_bus(rng, 4)
    serial = SubElement(devices, "serial", type="file")
    SubElement(serial, "source", path=str(spec.serial), append="on")
    SubElement(serial, "target", port="0")
    SubElement(devices, "controller", type="usb", model="none")
    SubElement(devices, "memballoon", model="none")
    return devices


def _disk(devices: Element, spec: DomainSpec) -> None:
    if isinstance(spec.volume, PurePath):
        disk = SubElement(devices, "disk", type="file", device="disk")
        # A file that both hosts have open: what one of them kept in its memory the other would not see.
        SubElement(disk, "driver", name="qemu", type="qcow2", cache="none" if spec.shared_file else "writeback")
        SubElement(disk, "source", file=str(spec.volume))
    else:
        disk = SubElement(devices, "disk", type="network", device="disk")
        SubElement(disk, "driver", name="qemu", type="raw", cache="writeback")
        source = SubElement(disk, "source", protocol="nbd", name=spec.name)
        address, port = spec.volume
        SubElement(source, "host", name=address, port=str(port))
        SubElement(source, "reconnect", delay="60")
    SubElement(disk, "target", dev=DISK, bus="virtio")
    _on_root_bus(disk, 2)


def _on_root_bus(device: Element, slot: int) -> None:
    SubElement(device, "address", type="pci", domain="0", bus="0", slot=str(slot), function="0")


def _text(parent: Element, tag: str, text: str, **attributes: str) -> None:
    SubElement(parent, tag, attributes).text = text
