using System.Net;

namespace Platform.ServiceDefaults.Communication;

/// <summary>Applies the call's deadline to reading the response's body. The attempt time-out only covers the headers, so without this a slow body could take for ever.</summary>
internal sealed class DeadlineContent : HttpContent
{
    private readonly HttpContent _inner;
    private readonly ServiceCall _call;

    public DeadlineContent(HttpContent inner, ServiceCall call)
    {
        _inner = inner;
        _call = call;
        foreach (var (name, values) in inner.Headers.NonValidated)
        {
            Headers.TryAddWithoutValidation(name, values);
        }
    }

    protected override Task SerializeToStreamAsync(Stream stream, TransportContext? context) => SerializeToStreamAsync(stream, context, CancellationToken.None);

    protected override Task SerializeToStreamAsync(Stream stream, TransportContext? context, CancellationToken cancellationToken) =>
        WithinAsync(async token =>
        {
            await _inner.CopyToAsync(stream, context, token).ConfigureAwait(false);
            return 0;
        }, cancellationToken).AsTask();

    protected override Task<Stream> CreateContentReadStreamAsync() => CreateContentReadStreamAsync(CancellationToken.None);

    protected override async Task<Stream> CreateContentReadStreamAsync(CancellationToken cancellationToken) =>
        new DeadlineStream(await _inner.ReadAsStreamAsync(cancellationToken).ConfigureAwait(false), this);

    protected override bool TryComputeLength(out long length)
    {
        length = _inner.Headers.ContentLength ?? 0;
        return _inner.Headers.ContentLength is not null;
    }

    protected override void Dispose(bool disposing)
    {
        if (disposing)
        {
            _inner.Dispose();
        }

        base.Dispose(disposing);
    }

    private async ValueTask<T> WithinAsync<T>(Func<CancellationToken, ValueTask<T>> read, CancellationToken cancellationToken)
    {
        using var timer = new CancellationTokenSource(_call.Left, _call.Destination.Time);
        using var linked = CancellationTokenSource.CreateLinkedTokenSource(timer.Token, cancellationToken);
        try
        {
            return await read(linked.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException exception) when (timer.IsCancellationRequested && !cancellationToken.IsCancellationRequested)
        {
            var name = _call.Destination.Name;
            _call.Pass.Failed("the body timed out");
            _call.Destination.Signals.DeadlineExpired(name, "body");
            throw new ServiceCallException(name, ServiceCallFailure.TimedOut, $"{name} did not send the whole body in time.", exception);
        }
        // HttpIOException when the body ends early, the socket's IOException when the connection is reset.
        catch (Exception exception) when (exception is IOException or HttpRequestException)
        {
            var name = _call.Destination.Name;
            _call.Pass.Failed("the body was cut off");
            throw new ServiceCallException(name, ServiceCallFailure.Unreachable, $"The body from {name} was cut off: {exception.Message}", exception);
        }
    }

    private sealed class DeadlineStream(Stream inner, DeadlineContent content) : Stream
    {
        public override bool CanRead => true;

        public override bool CanSeek => false;

        public override bool CanWrite => false;

        public override long Length => throw new NotSupportedException();

        public override long Position { get => throw new NotSupportedException(); set => throw new NotSupportedException(); }

        public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default) =>
            content.WithinAsync(token => inner.ReadAsync(buffer, token), cancellationToken);

        public override Task<int> ReadAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) =>
            ReadAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();

        public override int Read(byte[] buffer, int offset, int count) =>
            throw new NotSupportedException("Read asynchronously: the deadline can't cancel a synchronous read.");

        public override void Flush()
        {
        }

        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

        public override void SetLength(long value) => throw new NotSupportedException();

        public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();

        protected override void Dispose(bool disposing)
        {
            if (disposing)
            {
                inner.Dispose();
            }

            base.Dispose(disposing);
        }
    }
}
