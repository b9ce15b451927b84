"""The fixture that finds the golden vectors."""

from tests.conftest import golden

__all__ = ['golden']
