using System.Reflection;
using Aspire.Hosting;

namespace Platform.AppHost.Running;

internal static class ErrorSentences
{
    /// <summary>
    /// Prints an error that its reader can mend, a <see cref="DistributedApplicationException"/>, as its message alone and ends the process with exit code 1;
    /// a run that is stopped while it starts ends with 130, as if by SIGINT. Any other exception keeps its stack trace.
    /// </summary>
    public static void Use()
    {
        // Aspire.Hosting.Testing runs Program in the process of the tests, which are not to be ended.
        if (Assembly.GetEntryAssembly() != typeof(ErrorSentences).Assembly)
        {
            return;
        }

        AppDomain.CurrentDomain.UnhandledException += (_, unhandled) =>
        {
            switch (unhandled.ExceptionObject)
            {
                case OperationCanceledException:
                    Environment.Exit(130);
                    break;
                case DistributedApplicationException error:
                    Console.Error.WriteLine(error.Message);
                    Environment.Exit(1);
                    break;
            }
        };
    }
}
