"""Where a domain pins its threads, and to which pCPUs."""

#: The elements, below ``<cputune>``.
VCPU = 'vcpupin'
EMULATOR = 'emulatorpin'
IOTHREAD = 'iothreadpin'

#: Their paths, without keys.
VCPU_PIN = f'cputune/{VCPU}'
EMULATOR_PIN = f'cputune/{EMULATOR}'
IOTHREAD_PIN = f'cputune/{IOTHREAD}'


def vcpu_pin(number: int) -> str:
    """Return the path of a vCPU's pin."""
    return f"{VCPU_PIN}[@vcpu='{number}']"


def iothread_pin(number: int) -> str:
    """Return the path of an iothread's pin."""
    return f"{IOTHREAD_PIN}[@iothread='{number}']"
