"""Networks of torchvision, small inputs, no weights."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

NAMES = """
    alexnet convnext_small convnext_tiny deeplabv3_mobilenet_v3_large deeplabv3_resnet101
    deeplabv3_resnet50 densenet121 densenet169 densenet201 efficientnet_b0 efficientnet_b1
    efficientnet_b2 efficientnet_b3 efficientnet_b4 efficientnet_v2_s
    fasterrcnn_mobilenet_v3_large_320_fpn fasterrcnn_mobilenet_v3_large_fpn
    fasterrcnn_resnet50_fpn fasterrcnn_resnet50_fpn_v2 fcn_resnet101 fcn_resnet50
    fcos_resnet50_fpn googlenet inception_v3 keypointrcnn_resnet50_fpn lraspp_mobilenet_v3_large
    maskrcnn_resnet50_fpn maskrcnn_resnet50_fpn_v2 maxvit_t mc3_18 mnasnet0_5 mnasnet0_75
    mnasnet1_0 mnasnet1_3 mobilenet_v2 mobilenet_v3_large mobilenet_v3_small mvit_v2_s
    r2plus1d_18 r3d_18 raft_large raft_small regnet_x_1_6gf regnet_x_3_2gf regnet_x_400mf
    regnet_x_800mf regnet_y_1_6gf regnet_y_3_2gf regnet_y_400mf regnet_y_800mf resnet101
    resnet18 resnet34 resnet50 resnext101_32x8d resnext50_32x4d retinanet_resnet50_fpn
    retinanet_resnet50_fpn_v2 s3d shufflenet_v2_x0_5 shufflenet_v2_x1_0 shufflenet_v2_x1_5
    shufflenet_v2_x2_0 squeezenet1_0 squeezenet1_1 ssd300_vgg16 ssdlite320_mobilenet_v3_large
    swin3d_s swin3d_t swin_s swin_t swin_v2_s swin_v2_t vgg19 vgg19_bn vit_b_16 vit_b_32
    wide_resnet50_2
""".split()

DETECTION = "rcnn", "retinanet", "fcos", "ssd"
VIDEO = "r3d", "mc3", "r2plus1d", "s3d", "swin3d", "mvit"


def build(name: str) -> tuple[nn.Module, Any]:
    """A network and its example input."""
    import torchvision

    options: dict[str, Any] = {"weights": None}
    side, inputs = 224, None
    if any(kind in name for kind in DETECTION):
        # All boxes are kept, however bad: with none there would be no output to compare.
        threshold = "box_score_thresh" if "rcnn" in name else "score_thresh"
        options |= {"weights_backbone": None, threshold: 0.0}
        if "rcnn" in name:
            options |= {"rpn_pre_nms_top_n_test": 60, "rpn_post_nms_top_n_test": 20}
        else:
            options["topk_candidates"] = 60
        if "ssd" not in name:
            options |= {"min_size": 128, "max_size": 160}
        inputs = ([torch.rand(3, 128, 128)],)
    elif name.startswith(("deeplab", "fcn", "lraspp")):
        options["weights_backbone"], side = None, 128
    elif name.startswith("raft"):
        inputs = (torch.rand(1, 3, 128, 128), torch.rand(1, 3, 128, 128))
    elif name.startswith(VIDEO):
        size = 224 if name.startswith(("s3d", "swin3d", "mvit")) else 112
        inputs = torch.rand(1, 3, 16, size, size)
    elif name.startswith(("inception", "googlenet")):
        options |= {"aux_logits": False, "init_weights": False}
        side = 299 if name.startswith("inception") else 224
    model = torchvision.models.get_model(name, **options)
    return model, torch.rand(1, 3, side, side) if inputs is None else inputs
