"""The protobuf messages of Pinecone's gRPC, made from their names and field numbers.

These are facts of the public `db_data_2025-10.proto` in github.com/pinecone-io/pinecone-api; sparse vectors, which this
server refuses, are left out but for their place in a vector.
"""

from typing import Any

from google.protobuf import struct_pb2
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

# A field is `number name type`; `*` before the type repeats it, `?` tells absent from zero, and `>` maps strings to it.
_MESSAGES = {
    "SparseValues": "1 indices *uint32, 2 values *float",
    "Vector": "1 id string, 2 values *float, 3 metadata Struct, 4 sparse_values SparseValues",
    "ScoredVector": "1 id string, 2 score float, 3 values *float, 4 metadata Struct",
    "UpsertRequest": "1 vectors *Vector, 2 namespace string",
    "UpsertResponse": "1 upserted_count uint32",
    "DeleteRequest": "1 ids *string, 2 delete_all bool, 3 namespace string, 4 filter Struct",
    "DeleteResponse": "",
    "FetchRequest": "1 ids *string, 2 namespace string",
    "FetchResponse": "1 vectors >Vector, 2 namespace string, 3 usage Usage",
    "FetchByMetadataRequest": "1 namespace string, 2 filter Struct, 3 limit ?uint32, 4 pagination_token ?string",
    "FetchByMetadataResponse": "1 vectors >Vector, 2 namespace string, 3 usage Usage, 4 pagination Pagination",
    "ListRequest": "1 prefix ?string, 2 limit ?uint32, 3 pagination_token ?string, 4 namespace string",
    "ListItem": "1 id string",
    "ListResponse": "1 vectors *ListItem, 2 pagination Pagination, 3 namespace string, 4 usage Usage",
    "QueryRequest": "1 namespace string, 2 top_k uint32, 3 filter Struct, 4 include_values bool,"
    " 5 include_metadata bool, 7 vector *float, 8 id string",
    "QueryResponse": "2 matches *ScoredVector, 3 namespace string, 4 usage Usage",
    "UpdateRequest": "1 id string, 2 values *float, 3 set_metadata Struct, 4 namespace string, 6 filter Struct,"
    " 7 dry_run ?bool",
    "UpdateResponse": "1 matched_records ?int32",
    "DescribeIndexStatsRequest": "1 filter Struct",
    "DescribeIndexStatsResponse": "1 namespaces >NamespaceSummary, 2 dimension ?uint32, 3 index_fullness float,"
    " 4 total_vector_count uint32, 5 metric ?string, 6 vector_type ?string",
    "NamespaceSummary": "1 vector_count uint32",
    "ListNamespacesRequest": "1 pagination_token ?string, 2 limit ?uint32, 3 prefix ?string",
    "ListNamespacesResponse": "1 namespaces *NamespaceDescription, 2 pagination Pagination, 3 total_count int32",
    "DescribeNamespaceRequest": "1 namespace string",
    "DeleteNamespaceRequest": "1 namespace string",
    "CreateNamespaceRequest": "1 name string",
    "NamespaceDescription": "1 name string, 2 record_count uint64",
    "Pagination": "1 next string",
    "Usage": "1 read_units ?uint32",
}


def _described() -> FileDescriptorProto:
    file = FileDescriptorProto(name="db_data.proto", syntax="proto3", dependency=["google/protobuf/struct.proto"])
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field in filter(None, fields.split(", ")):
            number, field_name, type = field.split()
            _add(message, field_name, int(number), type)
    return file


def _add(message: DescriptorProto, name: str, number: int, type: str) -> None:
    added = message.field.add(name=name, number=number, label=FieldDescriptorProto.LABEL_OPTIONAL)
    kind = type.lstrip("*?>")
    if type.startswith(("*", ">")):
        added.label = FieldDescriptorProto.LABEL_REPEATED
    if type.startswith("?"):
        added.proto3_optional, added.oneof_index = True, len(message.oneof_decl)
        message.oneof_decl.add(name=f"_{name}")
    if type.startswith(">"):
        entry = message.nested_type.add(name=f"{name.title()}Entry")
        entry.options.map_entry = True
        _add(entry, "key", 1, "string")
        _add(entry, "value", 2, kind)
        kind = f"{message.name}.{entry.name}"
    if kind.islower():
        added.type = FieldDescriptorProto.Type.Value(f"TYPE_{kind.upper()}")
    else:
        added.type = FieldDescriptorProto.TYPE_MESSAGE
        added.type_name = ".google.protobuf.Struct" if kind == "Struct" else f".{kind}"


def _classes() -> dict[str, Any]:
    pool = DescriptorPool()
    pool.AddSerializedFile(struct_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(_described())
    return {name: GetMessageClass(pool.FindMessageTypeByName(name)) for name in _MESSAGES}


CLASSES = _classes()
"""The message classes by name."""
