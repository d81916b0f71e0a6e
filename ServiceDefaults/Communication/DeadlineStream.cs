namespace Platform.ServiceDefaults.Communication;

/// <summary>Applies the call's deadline to reading the response's body. The attempt time-out only covers the headers, so without this a slow body could take for ever.</summary>
internal sealed class DeadlineStream(HttpContent content, Stream inner, ServiceCall call) : Stream
{
    /// <summary>Wraps the content of a response whose body has not been read yet.</summary>
    public static async Task<HttpContent> WrapAsync(HttpContent content, ServiceCall call, CancellationToken cancellationToken)
    {
        var wrapped = new StreamContent(new DeadlineStream(content, await content.ReadAsStreamAsync(cancellationToken).ConfigureAwait(false), call));
        foreach (var (name, values) in content.Headers.NonValidated)
        {
            wrapped.Headers.TryAddWithoutValidation(name, values);
        }

        return wrapped;
    }

    public override bool CanRead => true;

    public override bool CanSeek => false;

    public override bool CanWrite => false;

    public override long Length => throw new NotSupportedException();

    public override long Position { get => throw new NotSupportedException(); set => throw new NotSupportedException(); }

    public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default) =>
        WithinAsync(token => inner.ReadAsync(buffer, token), cancellationToken);

    public override Task<int> ReadAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) =>
        ReadAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();

    public override Task CopyToAsync(Stream destination, int bufferSize, CancellationToken cancellationToken) =>
        WithinAsync(async token =>
        {
            await inner.CopyToAsync(destination, bufferSize, token).ConfigureAwait(false);
            return 0;
        }, cancellationToken).AsTask();

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
            content.Dispose();
        }

        base.Dispose(disposing);
    }

    private async ValueTask<T> WithinAsync<T>(Func<CancellationToken, ValueTask<T>> read, CancellationToken cancellationToken)
    {
        using var timer = new CancellationTokenSource(call.Left, call.Destination.Time);
        using var linked = CancellationTokenSource.CreateLinkedTokenSource(timer.Token, cancellationToken);
        try
        {
            return await read(linked.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException exception) when (timer.IsCancellationRequested && !cancellationToken.IsCancellationRequested)
        {
            var name = call.Destination.Name;
            call.Pass.Failed("the body timed out");
            call.Destination.Signals.DeadlineExpired(name, "body");
            throw new ServiceCallException(name, ServiceCallFailure.TimedOut, $"{name} did not send the whole body in time.", exception);
        }
        // HttpIOException when the body ends early, the socket's IOException when the connection is reset.
        catch (Exception exception) when (exception is IOException or HttpRequestException)
        {
            var name = call.Destination.Name;
            call.Pass.Failed("the body was cut off");
            throw new ServiceCallException(name, ServiceCallFailure.Unreachable, $"The body from {name} was cut off: {exception.Message}", exception);
        }
    }
}
