set -eu
useradd -m -s /bin/tcsh mailadm
printf 'mailadm:%s\n' "$LAB_BECOME_PASSWORD" | chpasswd
printf 'mailadm ALL=(ALL) ALL\n' > /etc/sudoers.d/mailadm
chmod 0440 /etc/sudoers.d/mailadm
# What csh users live with: a start-up file that talks.
printf 'echo "Welcome to the mail host"\nsetenv EDITOR vi\n' > /home/mailadm/.cshrc
chown mailadm:mailadm /home/mailadm/.cshrc
sed -i 's/^Subsystem/#&/' /etc/ssh/sshd_config
printf 'PermitRootLogin no\n' > /etc/ssh/sshd_config.d/00-root.conf
