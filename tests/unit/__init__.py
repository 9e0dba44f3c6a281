from tests.fixtures import own_warnings

own_warnings.refuse()
