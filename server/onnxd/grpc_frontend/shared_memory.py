"""The shared memory calls: regions of the system's, and the refusal of CUDA's."""

from dataclasses import dataclass

from onnxd.fleet import Fleet
from onnxd.grpc_frontend.boundary import Unary
from onnxd.grpc_frontend.call import Call
from onnxd.protocol.shared_memory import Registration, cuda_is_not_supported, unknown_region
from onnxd.security.peer import grpc_peer_address, is_loopback
from onnxd.shared_memory.service import SharedMemory
from onnxd_protos import grpc_service_pb2 as pb


@dataclass(frozen=True, slots=True)
class SharedMemoryCalls:
    """What a client registers, and forgets. An empty name is all regions, but for register."""

    shared_memory: SharedMemory
    fleet: Fleet

    def by_name(self) -> dict[str, Unary]:
        """The calls by their method's name."""
        return {
            "SystemSharedMemoryStatus": self.status,
            "SystemSharedMemoryRegister": self.register,
            "SystemSharedMemoryUnregister": self.unregister,
            "CudaSharedMemoryStatus": self.cuda_status,
            "CudaSharedMemoryRegister": self.cuda_register,
            "CudaSharedMemoryUnregister": self.cuda_unregister,
        }

    async def status(
        self, asked: pb.SystemSharedMemoryStatusRequest, call: Call
    ) -> pb.SystemSharedMemoryStatusResponse:
        answer = pb.SystemSharedMemoryStatusResponse()
        for row in self.shared_memory.status(call.caller.principal, asked.name or None, local=is_local(call)):
            region = answer.regions[row.name]
            region.name, region.key, region.offset, region.byte_size = row
        return answer

    async def register(
        self, asked: pb.SystemSharedMemoryRegisterRequest, call: Call
    ) -> pb.SystemSharedMemoryRegisterResponse:
        wanted = Registration(asked.key, asked.offset, asked.byte_size)
        await self.fleet.register(call.caller.principal, asked.name, wanted, local=is_local(call))
        return pb.SystemSharedMemoryRegisterResponse()

    async def unregister(
        self, asked: pb.SystemSharedMemoryUnregisterRequest, call: Call
    ) -> pb.SystemSharedMemoryUnregisterResponse:
        await self.fleet.unregister(call.caller.principal, asked.name or None, local=is_local(call))
        return pb.SystemSharedMemoryUnregisterResponse()

    # CUDA: there never is a region, and to ask or to forget is no mistake: perf_analyzer begins with it.

    async def cuda_status(
        self, asked: pb.CudaSharedMemoryStatusRequest, _: Call
    ) -> pb.CudaSharedMemoryStatusResponse:
        if asked.name:
            raise unknown_region(asked.name)
        return pb.CudaSharedMemoryStatusResponse()

    async def cuda_register(
        self, asked: pb.CudaSharedMemoryRegisterRequest, _: Call
    ) -> pb.CudaSharedMemoryRegisterResponse:
        raise cuda_is_not_supported(asked.name)

    async def cuda_unregister(
        self, _: pb.CudaSharedMemoryUnregisterRequest, __: Call
    ) -> pb.CudaSharedMemoryUnregisterResponse:
        return pb.CudaSharedMemoryUnregisterResponse()


def is_local(call: Call) -> bool:
    """Whether the caller is on this machine."""
    return is_loopback(grpc_peer_address(call.context.peer()))
