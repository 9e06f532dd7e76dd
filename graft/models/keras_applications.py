"""The networks of ``keras.applications`` as backbones, each by its own name in lower case, with their ImageNet weights.

Preprocessing stands inside the network, as each was trained: ``caffe`` (BGR, the mean colour of ImageNet taken off),
``tf`` (-1 to 1), ``torch`` (each channel normalised by ImageNet's mean and standard deviation), or ``own``, where Keras'
network holds it. Parameters, sources and smallest images: keras.io/api/applications.
"""

from collections.abc import Callable, Sequence
from typing import Any

from graft.registry import part
from graft.sources.remote import Remote
from graft.weights import Weights, load_file

BASE = "https://storage.googleapis.com/"
# Class in keras.applications, preprocessing, file below BASE, and the digest that Keras checks (MD5 or SHA-256).
PUBLISHED = """\
ConvNeXtBase own tensorflow/keras-applications/convnext/convnext_base_notop.h5 40a20c5548a5e9202f69735ecc06c990e6b7c9d2de39f0361e27baeb24cb7c45
ConvNeXtLarge own tensorflow/keras-applications/convnext/convnext_large_notop.h5 96f02b6f0753d4f543261bc9d09bed650f24dd6bc02ddde3066135b63d23a1cd
ConvNeXtSmall own tensorflow/keras-applications/convnext/convnext_small_notop.h5 6fc8009faa2f00c1c1dfce59feea9b0745eb260a7dd11bee65c8e20843da6eab
ConvNeXtTiny own tensorflow/keras-applications/convnext/convnext_tiny_notop.h5 d547c096cabd03329d7be5562c5e14798aa39ed24b474157cef5e85ab9e49ef1
ConvNeXtXLarge own tensorflow/keras-applications/convnext/convnext_xlarge_notop.h5 de3f8a54174130e0cecdc71583354753d557fcf1f4487331558e2a16ba0cfe05
DenseNet121 torch tensorflow/keras-applications/densenet/densenet121_weights_tf_dim_ordering_tf_kernels_notop.h5 30ee3e1110167f948a6b9946edeeb738
DenseNet169 torch tensorflow/keras-applications/densenet/densenet169_weights_tf_dim_ordering_tf_kernels_notop.h5 b8c4d4c20dd625c148057b9ff1c1176b
DenseNet201 torch tensorflow/keras-applications/densenet/densenet201_weights_tf_dim_ordering_tf_kernels_notop.h5 c13680b51ded0fb44dff2d8f86ac8bb1
EfficientNetB0 efficientnet keras-applications/efficientnetb0_notop.h5 50bc09e76180e00e4465e1a485ddc09d
EfficientNetB1 efficientnet keras-applications/efficientnetb1_notop.h5 74c4e6b3e1f6a1eea24c589628592432
EfficientNetB2 efficientnet keras-applications/efficientnetb2_notop.h5 111f8e2ac8aa800a7a99e3239f7bfb39
EfficientNetB3 efficientnet keras-applications/efficientnetb3_notop.h5 af6d107764bb5b1abb91932881670226
EfficientNetB4 efficientnet keras-applications/efficientnetb4_notop.h5 ebc24e6d6c33eaebbd558eafbeedf1ba
EfficientNetB5 efficientnet keras-applications/efficientnetb5_notop.h5 38879255a25d3c92d5e44e04ae6cec6f
EfficientNetB6 efficientnet keras-applications/efficientnetb6_notop.h5 9ecce42647a20130c1f39a5d4cb75743
EfficientNetB7 efficientnet keras-applications/efficientnetb7_notop.h5 cbcfe4450ddf6f3ad90b1b398090fe4a
EfficientNetV2B0 own tensorflow/keras-applications/efficientnet_v2/efficientnetv2-b0_notop.h5 893217f2bb855e2983157299931e43ff
EfficientNetV2B1 own tensorflow/keras-applications/efficientnet_v2/efficientnetv2-b1_notop.h5 0e80663031ca32d657f9caa404b6ec37
EfficientNetV2B2 own tensorflow/keras-applications/efficientnet_v2/efficientnetv2-b2_notop.h5 1dfe2e7a5d45b6632553a8961ea609eb
EfficientNetV2B3 own tensorflow/keras-applications/efficientnet_v2/efficientnetv2-b3_notop.h5 f6abf7b5849ac99a89b50dd3fd532856
EfficientNetV2L own tensorflow/keras-applications/efficientnet_v2/efficientnetv2-l_notop.h5 b0b66b5c863aef5b46e8608fe1711615
EfficientNetV2M own tensorflow/keras-applications/efficientnet_v2/efficientnetv2-m_notop.h5 1b8dc055df72dde80d614482840fe342
EfficientNetV2S own tensorflow/keras-applications/efficientnet_v2/efficientnetv2-s_notop.h5 af0682fb74e8c54910f2d4393339c070
InceptionResNetV2 tf tensorflow/keras-applications/inception_resnet_v2/inception_resnet_v2_weights_tf_dim_ordering_tf_kernels_notop.h5 d19885ff4a710c122648d3b5c3b684e4
InceptionV3 tf tensorflow/keras-applications/inception_v3/inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5 bcbd6486424b2319ff4ef7d526e38f63
MobileNet tf tensorflow/keras-applications/mobilenet/mobilenet_1_0_224_tf_no_top.h5 -
MobileNetV2 tf tensorflow/keras-applications/mobilenet_v2/mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5 -
MobileNetV3Large own tensorflow/keras-applications/mobilenet_v3/weights_mobilenet_v3_large_224_1.0_float_no_top_v2.h5 07fb09a5933dd0c8eaafa16978110389
MobileNetV3Small own tensorflow/keras-applications/mobilenet_v3/weights_mobilenet_v3_small_224_1.0_float_no_top_v2.h5 d3e8ec802a04aa4fc771ee12a9a9b836
NASNetLarge tf tensorflow/keras-applications/nasnet/NASNet-large-no-top.h5 d81d89dc07e6e56530c4e77faddd61b5
NASNetMobile tf tensorflow/keras-applications/nasnet/NASNet-mobile-no-top.h5 1ed92395b5b598bdda52abe5c0dbfd63
ResNet101 caffe tensorflow/keras-applications/resnet/resnet101_weights_tf_dim_ordering_tf_kernels_notop.h5 88cf7a10940856eca736dc7b7e228a21
ResNet101V2 tf tensorflow/keras-applications/resnet/resnet101v2_weights_tf_dim_ordering_tf_kernels_notop.h5 c0ed64b8031c3730f411d2eb4eea35b5
ResNet152 caffe tensorflow/keras-applications/resnet/resnet152_weights_tf_dim_ordering_tf_kernels_notop.h5 ee4c566cf9a93f14d82f913c2dc6dd0c
ResNet152V2 tf tensorflow/keras-applications/resnet/resnet152v2_weights_tf_dim_ordering_tf_kernels_notop.h5 ed17cf2e0169df9d443503ef94b23b33
ResNet50 caffe tensorflow/keras-applications/resnet/resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5 4d473c1dd8becc155b73f8504c6f6626
ResNet50V2 tf tensorflow/keras-applications/resnet/resnet50v2_weights_tf_dim_ordering_tf_kernels_notop.h5 fac2f116257151a9d068a22e544a4917
VGG16 caffe tensorflow/keras-applications/vgg16/vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5 6d6bbae143d832006294945121d1f1fc
VGG19 caffe tensorflow/keras-applications/vgg19/vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5 253f8cb515780f3b799900260a226db6
Xception tf tensorflow/keras-applications/xception/xception_weights_tf_dim_ordering_tf_kernels_notop.h5 b0042744bf5b25fce3cb969f33bebb97
"""
SMALLEST = {"InceptionResNetV2": 75, "InceptionV3": 75, "Xception": 71}
BLOCKS = {"ResNet50": (3, 4, 6, 3), "ResNet101": (3, 4, 23, 3), "ResNet152": (3, 8, 36, 3)}
MEAN, SPREAD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's red, green and blue, from 0 to 1
CAFFE_MEAN = (103.939, 116.779, 123.68)  # of its blue, green and red, from 0 to 255


def _preprocess(inputs: Any, mode: str) -> Any:
    import keras
    from keras import layers

    if mode == "tf":
        return layers.Rescaling(1 / 127.5, offset=-1, name="preprocessing")(inputs)
    if mode == "torch":
        scale = [1 / (255 * spread) for spread in SPREAD]
        offset = [-mean / spread for mean, spread in zip(MEAN, SPREAD, strict=True)]
        return layers.Rescaling(scale, offset=offset, name="preprocessing")(inputs)
    if mode == "caffe":
        offset = [-mean for mean in CAFFE_MEAN]
        return layers.Rescaling(1.0, offset=offset, name="preprocessing")(keras.ops.flip(inputs, axis=-1))
    if mode == "efficientnet":
        # These weights were trained on values divided by the spread twice; the network itself divides once, by its root,
        # after it has taken the mean off. https://github.com/tensorflow/tensorflow/issues/49930
        roots = [spread**0.5 for spread in SPREAD]
        offset = [255 * mean * (1 - 1 / root) for mean, root in zip(MEAN, roots, strict=True)]
        return layers.Rescaling([1 / root for root in roots], offset=offset, name="preprocessing")(inputs)
    return layers.Rescaling(1.0, name="preprocessing")(inputs)  # to floating-point numbers


def _stages(name: str) -> tuple[str, ...] | None:
    """The names before which a network can be frozen; None: those of its layers, which are known once it is built."""
    if name.startswith("VGG"):
        return tuple(f"block{k}" for k in range(1, 6))
    counts = BLOCKS.get(name.removesuffix("V2"))
    if counts is None:
        return None
    stages = list(enumerate(counts, 2))
    blocks = (f"conv{k}_block{block}" for k, count in stages for block in range(1, count + 1))
    return (*(f"conv{k}" for k, _ in stages), *blocks)


def _build(name: str, mode: str, inputs: Any) -> Any:
    import keras

    network = getattr(keras.applications, name)
    return network(include_top=False, weights=None, input_tensor=_preprocess(inputs, mode)).output


def _backbone(name: str, mode: str) -> Callable[[Any], Any]:
    def backbone(inputs: Any) -> Any:
        return _build(name, mode, inputs)

    backbone.__doc__ = f"{name} of keras.applications without its top; uint8 (n, h, w, 3) to a feature map."
    return backbone


def _register(name: str, mode: str, file: str, digest: str) -> None:
    remote = Remote(
        file.rpartition("/")[2],
        (BASE + file,),
        sha256=(digest,) if len(digest) == 64 else (),
        md5=digest if len(digest) == 32 else "",
    )
    # Keras publishes no digest of two files; without one they are not taken from anywhere.
    weights = {"imagenet": Weights(load_file, remote)} if digest != "-" else {}
    smallest = SMALLEST.get(name, 32)
    part(name.lower(), backbone=True, smallest=smallest, stages=_stages(name), weights=weights)(_backbone(name, mode))


def _register_all(lines: Sequence[str]) -> None:
    for line in lines:
        _register(*line.split())


_register_all(PUBLISHED.splitlines())
