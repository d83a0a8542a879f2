"""One table of the packages whose names differ between PyPI and conda-forge, read in both directions.

Names that are not in it are the same in both worlds. Sources: the packages' conda-forge recipes.
`tests/unit/test_channel_names.py` holds the table to its rules.
"""

from __future__ import annotations

import re

from packaging.utils import canonicalize_name

# PyPI name (canonical), conda-forge name. Where several projects share a conda name, the first row is the one
# that a mirror asks PyPI for.
TABLE: tuple[tuple[str, str], ...] = (
    ("antlr4-python3-runtime", "antlr-python-runtime"),
    ("asv-runner", "asv_runner"),
    ("backports-asyncio-runner", "backports.asyncio.runner"),
    ("backports-strenum", "backports.strenum"),
    ("backports-tarfile", "backports.tarfile"),
    ("backports-zoneinfo", "backports.zoneinfo"),
    ("backports-zstd", "backports.zstd"),
    ("bash-kernel", "bash_kernel"),
    ("blosc", "python-blosc"),
    ("boolean-py", "boolean.py"),
    ("brotli", "brotli-python"),
    ("build", "python-build"),
    ("catkin-pkg", "catkin_pkg"),
    ("cupy-cuda12x", "cupy"),
    ("cupy-cuda13x", "cupy"),
    ("docker", "docker-py"),
    ("docstring-parser", "docstring_parser"),
    ("draftjs-exporter", "draftjs_exporter"),
    ("duckdb", "python-duckdb"),
    ("et-xmlfile", "et_xmlfile"),
    ("fastjsonschema", "python-fastjsonschema"),
    ("flatbuffers", "python-flatbuffers"),
    ("flufl-lock", "flufl.lock"),
    ("github3-py", "github3.py"),
    ("graphviz", "python-graphviz"),
    ("gssapi", "python-gssapi"),
    ("h3", "h3-py"),
    ("huggingface-hub", "huggingface_hub"),
    ("installer", "python-installer"),
    ("ipython-pygments-lexers", "ipython_pygments_lexers"),
    ("jaraco-classes", "jaraco.classes"),
    ("jaraco-context", "jaraco.context"),
    ("jaraco-functools", "jaraco.functools"),
    ("jupyter-bokeh", "jupyter_bokeh"),
    ("jupyter-client", "jupyter_client"),
    ("jupyter-console", "jupyter_console"),
    ("jupyter-core", "jupyter_core"),
    ("jupyter-events", "jupyter_events"),
    ("jupyter-server", "jupyter_server"),
    ("jupyter-server-terminals", "jupyter_server_terminals"),
    ("jupyterlab-pygments", "jupyterlab_pygments"),
    ("jupyterlab-server", "jupyterlab_server"),
    ("jupyterlab-widgets", "jupyterlab_widgets"),
    ("kaleido", "python-kaleido"),
    ("libarchive-c", "python-libarchive-c"),
    ("librt", "python-librt"),
    ("lzma", "python-lzma"),
    ("map-parallel", "map_parallel"),
    ("mdx-truly-sane-lists", "mdx_truly_sane_lists"),
    ("ml-dtypes", "ml_dtypes"),
    ("msal-extensions", "msal_extensions"),
    ("msgpack", "msgpack-python"),
    ("mss", "python-mss"),
    ("mypy-extensions", "mypy_extensions"),
    ("ollama", "ollama-python"),
    ("opencv-python-headless", "py-opencv"),
    ("opencv-python", "py-opencv"),
    ("opencv-contrib-python-headless", "py-opencv"),
    ("opencv-contrib-python", "py-opencv"),
    ("opt-einsum", "opt_einsum"),
    ("oras", "oras-py"),
    ("pdfminer-six", "pdfminer.six"),
    ("playwright", "playwright-python"),
    ("prometheus-client", "prometheus_client"),
    ("psycopg2", "psycopg2"),
    ("psycopg2-binary", "psycopg2"),
    ("pure-eval", "pure_eval"),
    ("pyproject-hooks", "pyproject_hooks"),
    ("pyqt5", "pyqt"),
    ("pyviz-comms", "pyviz_comms"),
    ("readme-renderer", "readme_renderer"),
    ("ruamel-yaml", "ruamel.yaml"),
    ("ruamel-yaml-clib", "ruamel.yaml.clib"),
    ("ruamel-yaml-jinja2", "ruamel.yaml.jinja2"),
    ("semantic-version", "semantic_version"),
    ("smart-open", "smart_open"),
    ("sounddevice", "python-sounddevice"),
    ("soundfile", "pysoundfile"),
    ("sphinx-bootstrap-theme", "sphinx_bootstrap_theme"),
    ("stack-data", "stack_data"),
    ("svg-path", "svg.path"),
    ("tables", "pytables"),
    ("torch", "pytorch"),
    ("typing-extensions", "typing_extensions"),
    ("typing-inspect", "typing_inspect"),
    ("typing-utils", "typing_utils"),
    ("tzdata", "python-tzdata"),
    ("universal-pathlib", "universal_pathlib"),
    ("vcs-versioning", "vcs_versioning"),
    ("xgboost", "py-xgboost"),
    ("xxhash", "python-xxhash"),
    ("zc-lockfile", "zc.lockfile"),
    ("zope-event", "zope.event"),
    ("zope-interface", "zope.interface"),
)

# Second spellings on conda-forge: a package that only depends on another one. A mirror writes an empty one.
ALIASES: dict[str, str] = {
    "email_validator": "email-validator",
    "importlib_resources": "importlib-resources",
    "lazy_loader": "lazy-loader",
    "matplotlib-base": "matplotlib",
    "cached_property": "cached-property",
    "duckdb": "python-duckdb",
    "eval_type_backport": "eval-type-backport",
    "opencv": "py-opencv",
    "pdfminer-six": "pdfminer.six",
    "psycopg2-binary": "psycopg2",
    "prompt_toolkit": "prompt-toolkit",
    "pytorch-cpu": "pytorch",
    "pytorch-gpu": "pytorch",
    "service_identity": "service-identity",
    "typing-extensions": "typing_extensions",
}
# What an alias asks of its target beyond the version.
ALIAS_BUILDS: dict[str, str] = {"pytorch-cpu": "cpu*", "pytorch-gpu": "cuda*"}

# Packages of conda-forge that are no Python projects. PyPI has other people's projects under some of these
# names (`ffmpeg`, `git`, `zlib`), so a mirror must never look them up there.
_CONDA_ONLY = frozenset(
    re.findall(
        r"\S+",
        """
    7zip actionlint actionlint-with-all actionlint-with-pyflakes actionlint-with-shellcheck
    adwaita-icon-theme age alsa-lib aom apr assimp at-spi2-atk at-spi2-core atk-1.0 attr bash bat bat-extras
    bdw-gc binutils blas blosc bmad-method boost brotli brotli-bin btop bzip2 c-ares c-blosc2 c-compiler
    ca-certificates cairo ccache ceres-solver cfitsio chezmoi clang clangxx claude-agent-acp cli11 colmap
    compiler-rt compiler-rt22 compilers comrak conda conda-build conda-gcc-specs console_bridge coreutils
    cpp-expected cpython cudatoolkit cudnn curl cusparselt cxx-compiler cyrus-sasl d2 dav1d dbus difftastic
    diffutils direnv double-conversion dprint dsdp dua-cli dust eigen eigen-abi embree epoxy exiftool expat
    fastfetch fd-find ffmpeg fftw file findutils fish flann flatbuffers fmt fontconfig foonathan-memory
    fortran-compiler freeglut freeimage freetype freexl fribidi fzf gawk gcc gdb gdk-pixbuf geos gettext
    gettext-tools gflags gfortran gh ghostscript giflib git git-cliff git-delta git-lfs gl2ps glew glfw glib
    glib-tools glog glpk glslang gmock gmp gnu-units go go-shfmt go-sops go-task gperf gpgme graphite2
    graphviz grep gsl gstreamer gtest gtk2 gtk3 gtk4 gts gxx gzip h3 harfbuzz hdf4 hdf5 hicolor-icon-theme
    htop hyperfine icu imagemagick imath inetutils intel-gmmlib intel-media-driver intel-media-sdk iperf
    jack jasper jbig2dec jj joshuto jq json-c jsoncpp juliaup jxrlib kernel-headers keyutils krb5 lame lcms2
    lefthook leptonica lerc less level-zero llama.cpp llvm llvm-openmp llvmdev lmod log4cxx lsdeluxe lua
    lua-luafilesystem lua-luaposix luajit luajit-openresty luarocks lz4-c lzo make mamba marp-cli mbedtls
    mediainfo mesalib metis micromamba mimalloc minizip mold mosh mpc mpfr mpg123 mpich muparser
    mysql-common mysql-libs nano nasm navi nccl ncurses nebi-cli ninja-base nlohmann_json nlohmann_json-abi
    nodejs nomkl nspr nss nushell nvtop ocl-icd office2pdf ogre ollama onednn onednn-cpu-threadpool onefetch
    oniguruma onnxruntime-cpp openblas opencl-headers openexr openh264 openjdk openjpeg openjph openldap
    openmpi openssh openssl orc orocos-kdl osv-scanner p7zip pandoc pango parallel patch patchelf pcl pcre
    pcre2 pdf2svg perl pixi pixman pkg-config playwright pngquant pnpm pocl poco poppler poppler-data popt
    portaudio postgresql prettier proj prometheus-cpp pthread-stubs pugixml pulseaudio pybind11-abi qhull
    qpdf qt qt-main qt6-main rattler-build rav1e rdma-core re2 readline release-plz reproc reproc-cpp rhash
    ripgrep rsync ruby rust s2n sbcl sccache sd sdl2 sdl3 sed sentencepiece-spm shaderc shellcheck simdjson
    sleef snappy spdlog spirv-tools sqlite srt starship suitesparse svt-av1 swig taplo tar tbb tclreadline
    tesseract time tinyobjloader tinyxml tinyxml2 tk tmux tokei tombi tree typos tzcode tzdata ucx
    uncrustify unixodbc unzip urdfdom urdfdom_headers uriparser utfcpp v4l-utils viskores vlfeat
    vulkan-headers vulkan-tools w3m wasm-pack watch wayland wayland-protocols wget which x264 x265 xclip
    xerces-c xkeyboard-config xsel xxhash xz yaml yaml-cpp yarn yasm yo zellij zeromq zfp zig zip zlib
    zlib-ng zsh zstd zziplib
    """,
    )
)
_CONDA_ONLY_PATTERNS = re.compile(
    r"_.*|lib.*|cuda-.*|.*_(?:linux|osx|win)-.*|xorg-.*|xcb-.*|gst-.*|fonts?-.*|gcc-.*|gxx-.*|clang.*-.*"
    r"|rust-.*|r-.*|aws-(?:c|crt|sdk|checksums).*|azure-.*-cpp|cargo-.*|pixi-.*|pulseaudio-.*|.*-devel|mesa-.*|qt\d?-.*"
)
# Python projects that the patterns would catch. Not `libclang`: conda-forge's is the C library.
_PYTHON_AFTER_ALL = frozenset(
    (
        "clang-format",
        "cuda-bindings",
        "cuda-core",
        "cuda-pathfinder",
        "cuda-python",
        "libcst",
        "librosa",
        "libtmux",
    )
)

_TO_CONDA: dict[str, str] = dict(TABLE)
_TO_PYPI: dict[str, str] = {conda: pypi for pypi, conda in reversed(TABLE)}
# Conda names that are other projects' PyPI names: conda-forge's `graphviz` is the C program, its Python binding is
# `python-graphviz`, which PyPI calls `graphviz`.
_TAKEN = frozenset(_TO_CONDA) - frozenset(_TO_PYPI) - frozenset(ALIASES)


def to_conda(pypi_name: str) -> str:
    """Give the conda-forge name of a PyPI project.

    :param pypi_name: any spelling; ``Typing.Extensions`` is ``typing-extensions``
    """
    name = canonicalize_name(pypi_name)
    return _TO_CONDA.get(name, name)


def to_pypi(conda_name: str) -> str | None:
    """Give the PyPI project that a conda-forge package is made from, or None where there is none.

    :param conda_name: as conda spells it; aliases are followed
    """
    name = canonical(conda_name)
    if name in _TO_PYPI:
        return _TO_PYPI[name]
    if is_conda_only(name):
        return None
    return canonicalize_name(name)


def canonical(conda_name: str) -> str:
    """Follow an alias to the package that it stands for; any other name is given back in lower case."""
    name = conda_name.lower()
    return ALIASES.get(name, name)


def is_conda_only(conda_name: str) -> bool:
    """Say whether a package is known to be no Python project: a compiler, a C library, a part of CUDA."""
    name = conda_name.lower()
    if name in _TO_PYPI or name in _PYTHON_AFTER_ALL:
        return False
    if name in _CONDA_ONLY or name in _TAKEN:
        return True
    return _CONDA_ONLY_PATTERNS.fullmatch(name) is not None


def is_virtual(conda_name: str) -> bool:
    """Say whether a name is a virtual package (``__cuda``): a property of the host, in no channel."""
    return conda_name.startswith("__")
