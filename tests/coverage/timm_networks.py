"""Networks of timm: about one small model per family, no weights."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

NAMES = """
    vit_tiny_patch16_224 deit3_small_patch16_224 beit_base_patch16_224 vit_small_patch14_dinov2
    convit_tiny coatnet_nano_rw_224 levit_128s efficientformerv2_s0 efficientvit_m0
    swinv2_tiny_window8_256 twins_svt_small poolformer_s12 caformer_s18 xcit_nano_12_p16_224
    mvitv2_tiny edgenext_xx_small mobilevitv2_050 repvit_m0_9 davit_tiny gcvit_xxtiny
    mixer_s32_224 gmlp_ti16_224 convnextv2_atto mambaout_femto resnet50 resnet50_gn seresnet18
    resnest14d resnext50_32x4d regnety_002 densenet121 dpn48b ese_vovnet19b_dw hardcorenas_a
    ghostnetv2_100 mobilenetv2_050 mobilenetv4_conv_small mixnet_s tinynet_e efficientnetv2_rw_t
    fbnetc_100 semnasnet_075 mobileone_s0 nfnet_l0 cspresnet50 darknet53 tresnet_m inception_v4
    xception41 nasnetalarge visformer_tiny tnt_s_patch16_224 sequencer2d_s halonet26t
    botnet26t_256 gernet_s cs3darknet_s shvit_s1 swiftformer_xs vitamin_small_224
    naflexvit_base_patch16_gap vit_small_patch16_rope_ape_224 test_vit
""".split()


def build(name: str) -> tuple[nn.Module, Any]:
    """A network and its example input."""
    import timm

    model = timm.create_model(name, pretrained=False)
    return model, torch.rand(1, *model.default_cfg["input_size"])
