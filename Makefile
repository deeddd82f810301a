# `make check` is what CI does, in an environment with the extras `test` and `docs`.
# Bytecode is kept, whatever the environment says: every command that a test starts would compile the package anew.
export PYTHONDONTWRITEBYTECODE =

.PHONY: check style types site tests numerics slow clean

check: style types site tests numerics

style:  ## lint and formatting
	ruff check .
	ruff format --check .

types:
	mypy

site:  ## the documentation, every warning an error; build/site/index.html
	mkdocs build --strict --quiet

tests:  ## all tests but the slow ones, a file at a time on two cores; folders by name, whole studies among the first
	pytest -n 2 --dist loadfile --no-loadscope-reorder

numerics:  ## the tests that train, with other last digits: what they claim must hold on any machine
	ATEN_CPU_CAPABILITY=default pytest -n 2 --dist loadfile --no-loadscope-reorder -m "trains and not slow" \
		$$(grep -rl --include='*.py' mark.trains tests)

slow:  ## minutes to hours: kills, races, whole experiments, an installed wheel
	pytest -m slow

clean:
	rm -rf build dist src/*.egg-info .pytest_cache .mypy_cache .ruff_cache
