using System.Buffers;
using System.Buffers.Binary;
using System.Globalization;
using Google.Protobuf;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;

namespace Aspire.Hosting.Dashboard;

/// <summary>The result codes of gRPC that are used here.</summary>
internal enum GrpcStatus
{
    Ok = 0,
    Unknown = 2,
    InvalidArgument = 3,
    ResourceExhausted = 8,
    Unimplemented = 12,
    Unauthenticated = 16,
}

/// <summary>A call that ends with a code other than OK.</summary>
internal sealed class GrpcException(GrpcStatus status, string message) : Exception(message)
{
    public GrpcStatus Status => status;
}

/// <summary>
/// gRPC over HTTP/2, as far as a server of small messages needs it: messages are protobuf behind a flag byte and their length in four bytes,
/// and the result is in the trailers. Compression is never offered, so that no client uses it.
/// </summary>
internal static class Grpc
{
    private const int PrefixLength = 5;
    private const int MaxRequestLength = 1024 * 1024;

    /// <summary>Answers a call, whatever becomes of it.</summary>
    public static async Task AnswerAsync(HttpContext context, Func<Task> call, Action<Exception> onError)
    {
        context.Response.ContentType = "application/grpc";
        var (status, message) = (GrpcStatus.Ok, string.Empty);
        try
        {
            await call();
            // The header block must be on its way before trailers can be.
            await context.Response.StartAsync();
        }
        catch (OperationCanceledException)
        {
            // The dashboard has left, or this process is about to; neither is an error.
        }
        catch (GrpcException exception)
        {
            (status, message) = (exception.Status, exception.Message);
        }
        catch (Exception exception)
        {
            onError(exception);
            (status, message) = (GrpcStatus.Unknown, exception.Message);
        }

        if (context.RequestAborted.IsCancellationRequested)
            return;

        context.Response.AppendTrailer("grpc-status", ((int)status).ToString(CultureInfo.InvariantCulture));
        if (message.Length > 0)
            context.Response.AppendTrailer("grpc-message", Uri.EscapeDataString(message));
    }

    /// <summary>Reads the one message of a request.</summary>
    public static async Task<T> ReadAsync<T>(HttpContext context, MessageParser<T> parser, CancellationToken cancellationToken)
        where T : IMessage<T>
    {
        var reader = context.Request.BodyReader;
        var prefix = await reader.ReadAtLeastAsync(PrefixLength, cancellationToken);
        if (prefix.Buffer.Length < PrefixLength)
            throw new GrpcException(GrpcStatus.InvalidArgument, "The request has no message.");

        var (compressed, length) = ReadPrefix(prefix.Buffer);
        if (compressed)
            throw new GrpcException(GrpcStatus.Unimplemented, "Compressed messages are not supported.");
        if (length > MaxRequestLength)
            throw new GrpcException(GrpcStatus.ResourceExhausted, $"The request's message is longer than {MaxRequestLength} bytes.");

        reader.AdvanceTo(prefix.Buffer.Start, prefix.Buffer.End);
        var body = await reader.ReadAtLeastAsync(PrefixLength + (int)length, cancellationToken);
        if (body.Buffer.Length < PrefixLength + length)
            throw new GrpcException(GrpcStatus.InvalidArgument, "The request's message is cut short.");

        try
        {
            return parser.ParseFrom(body.Buffer.Slice(PrefixLength, length));
        }
        catch (InvalidProtocolBufferException exception)
        {
            throw new GrpcException(GrpcStatus.InvalidArgument, exception.Message);
        }
        finally
        {
            reader.AdvanceTo(body.Buffer.GetPosition(PrefixLength + length));
        }
    }

    /// <summary>Sends a message, now.</summary>
    public static async Task WriteAsync(HttpContext context, IMessage message, CancellationToken cancellationToken)
    {
        var writer = context.Response.BodyWriter;
        var length = message.CalculateSize();
        var span = writer.GetSpan(PrefixLength);
        span[0] = 0;
        BinaryPrimitives.WriteUInt32BigEndian(span[1..], (uint)length);
        writer.Advance(PrefixLength);
        message.WriteTo(writer);
        await writer.FlushAsync(cancellationToken);
    }

    private static (bool Compressed, long Length) ReadPrefix(ReadOnlySequence<byte> buffer)
    {
        Span<byte> prefix = stackalloc byte[PrefixLength];
        buffer.Slice(0, PrefixLength).CopyTo(prefix);
        return (prefix[0] != 0, BinaryPrimitives.ReadUInt32BigEndian(prefix[1..]));
    }
}
