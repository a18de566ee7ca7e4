# `make demo`: sample footage to 3D motion.  `make sample`: a first training.  `make test`: the linter, the type checker and the tests.
# `make coverage`: the tests, and how much of model/ and common/ they run.  `make install`: only .venv.
# `make bench`: every speed ratio, into benchmark/results/speed.json.
# `make test-readers`: the tests of what reads files, which need no torch, on every Python of these that is at hand.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: install demo sample check test coverage bench test-readers

install: $(VENV)/installed

$(VENV)/installed: requirements.txt demo/requirements.txt tests/requirements.txt
	$(PYTHON) -c 'import re, sys; low, end = map(int, re.search(r"requires-python = \W>=3\.(\d+),<3\.(\d+)", open("pyproject.toml").read()).groups()); v = sys.version_info[:2]; sys.exit(0 if (3, low) <= v < (3, end) else f"Python {v[0]}.{v[1]}: use 3.{low} to 3.{end - 1}, with make PYTHON=...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check --quiet -r requirements.txt -r tests/requirements.txt
	touch $@

demo: install demo/video/sample_video.mp4
	$(BIN)/python demo/models.py
	$(BIN)/python demo/vis.py --video sample_video.mp4

# The footage of the package Sports2D (BSD-3-Clause): taken out of its wheel, not installed.
demo/video/sample_video.mp4: | install
	mkdir -p $(VENV)/sample demo/video
	$(BIN)/python -m pip download --disable-pip-version-check --quiet --no-deps --dest $(VENV)/sample sports2d==0.8.34
	cd $(VENV)/sample && $(abspath $(BIN))/python -m zipfile -e sports2d-0.8.34-*.whl .
	cp $(VENV)/sample/Sports2D/Demo/demo.mp4 $@

sample: install
	$(BIN)/python dataset/prepare_toy.py
	$(BIN)/python main_mixste.py --model mixste.hot_mixste --root_path dataset/toy/ --frames 27 --stride 27 --channel 32 --depth 4 \
		--token_num 9 --layer_index 1 --batch_size 8 --nepoch 4 --lr 1e-3 --lr_decay 0.9

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: check
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2

coverage: install
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --cov

bench: install
	$(BIN)/python benchmark/bench.py --json benchmark/results/speed.json

test-readers:
	for python in python3.11 python3.12 python3.13 $(wildcard $(HOME)/.pyenv/versions/3.1[123].*/bin/python); do \
		version=$$($$python -c 'import platform; print(platform.python_version())' 2>/dev/null) || continue; \
		$$python -m venv $(VENV)/readers/$$version && \
		$(VENV)/readers/$$version/bin/python -m pip install --disable-pip-version-check --quiet numpy scipy pytest tqdm && \
		$(VENV)/readers/$$version/bin/python -m pytest tests/test_npz.py tests/test_safe_pickle.py tests/test_mutate.py tests/test_world_motion.py \
			|| exit 1; \
	done
