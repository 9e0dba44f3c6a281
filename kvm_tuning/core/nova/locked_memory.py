"""Nova's rules for its keys about locked and encrypted guest memory.

Neither shapes the guest's cells, but Nova checks both before it makes any, so
a flavor that breaks these rules has no topology.
"""

from kvm_tuning.core.exceptions import ConflictingKnobs
from kvm_tuning.core.nova.image_properties import CHOICES, flag
from kvm_tuning.core.nova.keys import Sources
from kvm_tuning.core.wording import invalid

_MODELS = CHOICES['hw_mem_encryption_model']

#: Their firmware keeps no variables between boots, so that it can be measured.
_STATELESS = ('amd-sev-snp', 'intel-tdx')


def check(sources: Sources) -> None:
    """Check ``hw:locked_memory``, or else ``hw:mem_encryption``.

    :raises ConflictingKnobs: memory is locked without a page size, flavor and
        image disagree, or the image cannot boot encrypted.
    :raises InvalidValue: an unknown encryption model.
    """
    flavor = sources.flavor('locked_memory')
    image = sources.of_image('locked_memory')
    locked = image if flavor is None else flag(flavor)
    if image is not None and image != locked:
        raise _disagree(sources, 'locked_memory')
    if not locked:
        _check_encryption(sources)
    elif not (
        sources.flavor('mem_page_size') or sources.of_image('mem_page_size')
    ):
        said = (
            sources.in_image('locked_memory')
            if flavor is None
            else sources.in_flavor('locked_memory')
        )
        raise ConflictingKnobs(
            f'{said} locks memory without a page size: want '
            f'hw:mem_page_size too, small at least'
        )


def _check_encryption(sources: Sources) -> None:
    flavor = sources.flavor('mem_encryption')
    image = sources.of_image('mem_encryption')
    wanted = flavor is not None and flag(flavor)
    if not wanted and not image:
        return
    if flavor is not None and image is not None and wanted != image:
        raise _disagree(sources, 'mem_encryption')
    said = (
        sources.in_flavor('mem_encryption')
        if wanted
        else sources.in_image('mem_encryption')
    )
    _check_image(sources, said, _model(sources))


def _model(sources: Sources) -> str:
    flavor = sources.flavor('mem_encryption_model')
    image = sources.of_image('mem_encryption_model')
    if flavor is not None and image is not None and flavor != image:
        raise _disagree(sources, 'mem_encryption_model')
    model = str(image or flavor or _MODELS[0])
    if model not in _MODELS:
        raise invalid(
            'hw:mem_encryption_model',
            model,
            sources.flavor_origin,
            ', '.join(_MODELS),
        )
    return model


def _check_image(sources: Sources, said: str, model: str) -> None:
    """Check what an encrypted guest needs of its image."""
    values = sources.image.values
    if values.get('hw_firmware_type') != 'uefi':
        raise ConflictingKnobs(f'{said} needs hw_firmware_type=uefi')
    machine = values.get('hw_machine_type')
    if machine is not None and 'q35' not in str(machine):
        raise ConflictingKnobs(
            f'{said} and {sources.in_image("machine_type")} contradict each '
            f'other: want a q35 machine'
        )
    if model in _STATELESS and not values.get('hw_firmware_stateless'):
        raise ConflictingKnobs(
            f'{said} with {model} needs hw_firmware_stateless=true'
        )
    if model == 'intel-tdx' and values.get('hw_video_model') != 'none':
        raise ConflictingKnobs(
            f'{said} with {model} needs hw_video_model=none'
        )


def _disagree(sources: Sources, key: str) -> ConflictingKnobs:
    return ConflictingKnobs(
        f'{sources.in_both(key)} contradict each other: want the same in '
        f'both, or one of them only'
    )
