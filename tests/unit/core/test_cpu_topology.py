import testtools

from kvm_tuning.core import cpu_topology


def resized(vcpus, **found):
    shape = cpu_topology.resized({k: str(v) for k, v in found.items()}, vcpus)
    return {name: int(number) for name, number in shape.items()}


class ResizedTest(testtools.TestCase):
    def test_threads_and_sockets_stay_where_they_divide(self):
        self.assertEqual(
            {'sockets': 2, 'cores': 3, 'threads': 2},
            resized(12, sockets=2, cores=4, threads=2),
        )

    def test_what_does_not_divide_is_in_the_cores(self):
        self.assertEqual(
            {'sockets': 1, 'cores': 7, 'threads': 1},
            resized(7, sockets=2, cores=4, threads=2),
        )

    def test_never_more_sockets_than_every_system_uses(self):
        self.assertEqual(
            {'sockets': 1, 'cores': 8, 'threads': 1},
            resized(8, sockets=4, cores=1, threads=1),
        )

    def test_what_libvirt_writes_itself_stays_one(self):
        shape = resized(6, sockets=1, dies=2, clusters=2, cores=2, threads=1)
        self.assertEqual(
            ['sockets', 'dies', 'clusters', 'cores', 'threads'], list(shape)
        )
        self.assertEqual((1, 1), (shape['dies'], shape['clusters']))

    def test_the_product_is_the_vcpus(self):
        for vcpus in range(1, 65):
            for sockets in (1, 2, 3, 8):
                for threads in (1, 2, 4):
                    shape = resized(
                        vcpus, sockets=sockets, cores=1, threads=threads
                    )
                    product = 1
                    for number in shape.values():
                        product *= number
                    self.assertEqual(vcpus, product, shape)
                    self.assertLessEqual(shape['sockets'], 2)
